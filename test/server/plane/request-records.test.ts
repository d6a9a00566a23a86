import t from 'tap'
import type { FromWorker } from '../../../src/ipc/messages.ts'
import type { WrittenRow } from '../../../src/ipc/usage-row.ts'
import { RequestRecords } from '../../../src/server/plane/primary-links.ts'
import { usageRow } from '../../helper/usage-row.ts'

function rig() {
  const sent: number[] = []
  const journaled: WrittenRow[] = []
  const begun: number[] = []
  const state = { isSilent: false, isJournalled: true }
  const records = new RequestRecords({
    channel: {
      send: (message: FromWorker) => {
        if (message.type === 'usage.rows') sent.push(message.rows.length)
      }
    },
    journal: {
      note: (written) => journaled.push(written),
      noteBegun: (count) => begun.push(count)
    },
    isPrimarySilent: () => state.isSilent,
    isJournalled: () => state.isJournalled
  })
  const note = (count: number): void => {
    for (let n = 0; n < count; n++) records.note(usageRow())
  }
  return { records, sent, state, note, journaled, begun }
}

t.test('RequestRecords', (t) => {
  t.test('sends some together, after a moment', async (t) => {
    const { sent, note } = rig()
    note(3)
    t.same(sent, [])
    while (sent.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    t.same(sent, [3])
    note(200)
    t.same(sent, [3, 200], 'at once where they are many')
  })

  t.test('sends what there is when it is asked to', async (t) => {
    const { records, sent, note } = rig()
    records.flush()
    note(1)
    records.flush()
    records.flush()
    t.same(sent, [1])
  })

  t.test('keeps what a primary that hangs would not read, up to a bound', async (t) => {
    const { records, sent, state, note } = rig()
    state.isSilent = true
    note(6_000)
    records.flush()
    t.same(sent, [])
    state.isSilent = false
    records.flush()
    t.equal(
      sent.reduce((sum, count) => sum + count, 0),
      5_000
    )
    t.ok(sent.every((count) => count <= 200))
  })

  t.test('writes down which have begun and which are over, where that is wanted', async (t) => {
    const { records, sent, state, note, journaled, begun } = rig()
    records.begin()
    note(1)
    state.isJournalled = false
    records.begin()
    note(1)
    state.isJournalled = true
    records.begin()
    note(1)
    records.flush()
    t.same(begun, [1, 3])
    t.same(
      journaled.map(({ seq }) => seq),
      [0, 2]
    )
    t.same(sent, [3], 'the primary hears of all')
  })
  t.end()
})
