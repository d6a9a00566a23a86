import t from 'tap'
import type { FromWorker } from '../../../src/ipc/messages.ts'
import type { WrittenRow } from '../../../src/ipc/usage-row.ts'
import { RequestRecords } from '../../../src/server/plane/primary-links.ts'
import { usageRow } from '../../helper/usage-row.ts'

function rig() {
  const sent: number[] = []
  const journaled: WrittenRow[] = []
  const state = { isSilent: false, isWanted: true }
  const records = new RequestRecords({
    channel: {
      send: (message: FromWorker) => {
        if (message.type === 'usage.rows') sent.push(message.rows.length)
      }
    },
    journal: { note: (written) => journaled.push(written) },
    isPrimarySilent: () => state.isSilent,
    isWanted: () => state.isWanted
  })
  const note = (count: number): void => {
    for (let n = 0; n < count; n++) records.note(usageRow())
  }
  return { records, sent, state, note }
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

  t.test('keeps nothing where nobody wants it', async (t) => {
    const { records, sent, state, note } = rig()
    state.isWanted = false
    note(500)
    records.flush()
    t.same(sent, [])
  })
  t.end()
})
