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
  const streak = new FailingStreak()
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
  t.equal(streak.forget(), true)
  t.equal(streak.besides([]), null)
})
