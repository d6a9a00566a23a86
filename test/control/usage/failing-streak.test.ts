import t from 'tap'
import { FailingStreak } from '../../../src/control/usage/failing-streak.ts'
import { usageRow } from '../../helper/usage-row.ts'

const QUOTA = 'GW_UPSTREAM_QUOTA'

function failed(code: string) {
  const turn = {
    requestId: 'req_1',
    route: '/v1/messages',
    isStream: false,
    phaseMs: {},
    attempts: 1,
    chunks: 0,
    isAbovePriceStep: false,
    worker: 1,
    bodyBytes: 100,
    repairs: []
  }
  return usageRow({ code, status: 503, turn })
}

t.test('requests that fail for a limit of the account are its problem alone', async (t) => {
  const streak = new FailingStreak(() => 0)
  streak.add([failed(QUOTA), failed(QUOTA), failed(QUOTA)])
  t.match(streak.besides([]), { count: 3, code: QUOTA }, 'the limit is not known yet')
  t.equal(streak.besides([undefined, QUOTA]), null)
  streak.add([failed(QUOTA)])
  t.equal(streak.besides([QUOTA]), null, 'more of the same')
  t.equal(streak.besides([]), null, 'the limit has ended, and nobody has asked since')
  streak.add([failed(QUOTA)])
  t.match(streak.besides([]), { count: 1 })
})

t.test('another failure is told beside a limit', async (t) => {
  const streak = new FailingStreak()
  streak.add([failed('GW_UPSTREAM_CONNECT')])
  t.match(streak.besides([QUOTA]), { count: 1 })
  t.match(streak.besides([]), { count: 1 }, 'and stays after it')
  streak.forget()
  t.equal(streak.besides([]), null)
})

t.test("the content of one request says nothing about others' requests", async (t) => {
  const REFUSED = 'GW_UPSTREAM_REFUSED'
  const RESET = 'GW_UPSTREAM_RESET'
  const streak = new FailingStreak()
  for (let n = 0; n < 9; n++) streak.add([failed(REFUSED)])
  t.match(streak.besides([]), { level: 'amber', count: 9, code: REFUSED }, 'amber, as it failed')
  streak.add([failed(RESET), failed(RESET)])
  t.match(streak.besides([]), { level: 'amber', code: RESET })
  t.equal(streak.add([failed(REFUSED)]), false)
  t.match(streak.besides([]), { level: 'amber', count: 12, code: RESET }, 'the graver reason stays')
  t.equal(streak.add([failed(RESET)]), true)
  t.match(streak.besides([]), { level: 'red', count: 13, code: RESET })
  streak.add([failed('GW_BODY_INVALID'), failed('GW_CONTEXT_OVERFLOW')])
  t.match(streak.besides([]), { level: 'red', count: 13 }, "a client's mistake changes nothing")
  t.equal(streak.add([failed('')]), true)
  t.equal(streak.besides([]), null)
})

t.test(
  'failures of before a limit has ended, which are told later, count for nothing',
  async (t) => {
    const streak = new FailingStreak(() => 1_000)
    streak.besides([QUOTA])
    t.equal(streak.besides([]), null, 'lifted')
    streak.add([1, 2, 3].map(() => ({ ...failed(QUOTA), at: 999 })))
    t.equal(streak.besides([]), null)
    streak.add([{ ...failed(QUOTA), at: 1_001 }])
    t.match(streak.besides([]), { level: 'amber', count: 1 })
  }
)
