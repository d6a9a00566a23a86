import type { ServerResponse } from 'node:http'
import t from 'tap'
import type { FromWorker } from '../../../src/ipc/messages.ts'
import { RequestRecords } from '../../../src/server/worker/turn-record.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'
import { usageRow } from '../../helper/usage-row.ts'

function rig() {
  /** How many rows at a time, and what is told before them. */
  const sent: (number | 'prices' | 'credits')[] = []
  const begun: number[] = []
  const state = { isSilent: false }
  const records = new RequestRecords({
    channel: {
      send: (message: FromWorker) => {
        if (message.type !== 'usage.rows') return
        sent.push(message.rows.length)
        begun.push(message.begun)
      }
    },
    allowances: { tell: () => sent.push('credits') },
    prices: { tell: () => sent.push('prices') },
    pulse: state
  })
  const note = (count: number, row = usageRow()): void => {
    for (let n = 0; n < count; n++) records.note(row)
  }
  const rows = (): readonly number[] => sent.filter((one) => typeof one === 'number')
  return { records, sent, rows, state, note, begun }
}

t.test('RequestRecords', (t) => {
  t.test('sends some together, after a moment', async (t) => {
    const { rows, note } = rig()
    note(3)
    t.same(rows(), [])
    while (rows().length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    t.same(rows(), [3])
    note(200)
    t.same(rows(), [3, 200], 'at once where they are many')
  })

  t.test('sends what there is when it is asked to', async (t) => {
    const { records, rows, note } = rig()
    records.flush()
    note(1)
    records.flush()
    records.flush()
    t.same(rows(), [1])
  })

  t.test('tells of prices and credits before the rows, which may cross a limit', async (t) => {
    const { records, sent, note } = rig()
    note(1)
    note(1, { ...usageRow(), charges: [{ credits: 0, period: 1 }] })
    t.same(sent, [])
    records.flush()
    t.same(sent, ['prices', 'credits', 2])
  })

  t.test('says nothing of credits before rows of keys without a limit', async (t) => {
    const { records, sent, note } = rig()
    note(2)
    records.flush()
    t.same(sent, ['prices', 2])
  })

  t.test('keeps what a primary that hangs would not read, up to a bound', async (t) => {
    const { records, rows, state, note } = rig()
    state.isSilent = true
    note(6_000)
    records.flush()
    t.same(rows(), [])
    state.isSilent = false
    records.flush()
    t.equal(
      rows().reduce((sum, count) => sum + count, 0),
      5_000
    )
    t.ok(rows().every((count) => count <= 200))
  })

  t.test('says how many have begun, also while none is over', async (t) => {
    const { records, rows, note, begun } = rig()
    records.begin()
    records.begin()
    while (begun.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    t.same(rows(), [0])
    records.begin()
    note(1)
    records.flush()
    records.flush()
    t.same(begun, [2, 1])
  })
  t.end()
})

t.test(
  'the primary hears of a request before its answer, and gets its row after that',
  async (t) => {
    const asked = Promise.withResolvers<ServerResponse>()
    const upstream = await CountingUpstream.start(t, (_request, response) =>
      asked.resolve(response)
    )
    const primary = await FakePrimary.start(t, upstream.url)
    const begun = primary.heard('usage.rows')
    const answer = fetch(`${primary.url}/v1/messages`, {
      method: 'POST',
      headers: { authorization: 'Bearer good-key' },
      body: JSON.stringify({
        model: 'claude-haiku-4.5',
        max_tokens: 10,
        messages: [{ role: 'user', content: 'hi' }]
      })
    })
    const upstreamAnswer = await asked.promise
    t.match(await begun, { begun: 1, rows: [] })
    const ended = primary.heard('usage.rows')
    upstreamAnswer.end(Buffer.concat([textFrame('hello'), endFrame]))
    t.equal((await answer).status, 200)
    t.match(await ended, { begun: 0, rows: [{ status: 200 }] })
  }
)
