import t from 'tap'
import type { AllowanceEntry } from '../../../src/admission/allowance-core.ts'
import type { FromWorker } from '../../../src/ipc/messages.ts'
import type { WrittenRow } from '../../../src/ipc/usage-row.ts'
import { RequestRecords } from '../../../src/server/plane/primary-links.ts'
import { usageRow } from '../../helper/usage-row.ts'

function rig() {
  /** How many rows at a time, and when what they say of credits was written. */
  const sent: (number | 'credits' | 'told')[] = []
  const journaled: WrittenRow[] = []
  const begun: number[] = []
  const state = { isSilent: false, isJournalled: true, isWritable: true }
  const records = new RequestRecords({
    channel: {
      send: (message: FromWorker) => {
        if (message.type === 'usage.rows') sent.push(message.rows.length)
      }
    },
    journal: {
      note: (written) => {
        journaled.push(written)
        return state.isWritable
      },
      noteBegun: (count) => begun.push(count)
    },
    allowances: { flush: () => sent.push('credits') },
    tellCredits: () => sent.push('told'),
    isPrimarySilent: () => state.isSilent,
    isJournalled: () => state.isJournalled
  })
  const note = (count: number): void => {
    for (let n = 0; n < count; n++) records.note(usageRow())
  }
  const rows = (): readonly number[] => sent.filter((one) => typeof one === 'number')
  return { records, sent, rows, state, note, journaled, begun }
}

const TURN = {
  requestId: 'req_1',
  route: '/v1/messages',
  isStream: false,
  phaseMs: {},
  attempts: 0,
  chunks: 0,
  isAbovePriceStep: false,
  worker: 1,
  bodyBytes: 1,
  repairs: []
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

  t.test('writes what rows say of credits down before it tells of the rows', async (t) => {
    const { records, sent, note } = rig()
    note(1)
    t.same(sent, [])
    records.flush()
    t.same(
      sent,
      ['credits', 'told', 1],
      'and tells of these first: a row may be what crosses a limit'
    )
  })

  t.test(
    'a row says where the worker is with the credits of its key, once for all charges',
    async (t) => {
      const { records, journaled, state } = rig()
      const entry = {
        name: 'k_1/credits',
        period: 7,
        used: 3,
        reserved: 2,
        recorded: 1,
        version: 9
      } as const
      const told: boolean[] = []
      const charge = (version: number) => ({
        record: (write: (one: AllowanceEntry | null) => boolean) => {
          const isWritten = write({ ...entry, version })
          told.push(isWritten)
          return isWritten
        }
      })
      const row = usageRow()
      records.note(row, [charge(9), charge(10)])
      const { name: _, ...credits } = entry
      t.same(journaled, [{ seq: 0, row, credits: { ...credits, version: 10 } }])
      t.same(told, [true, true])
      state.isWritable = false
      records.note(row, [charge(11)])
      t.same(told, [true, true, false], 'what is not written there must be written elsewhere')
      state.isWritable = true
      records.note(row, [{ record: (write) => write(null) }])
      t.same(journaled.at(-1), { seq: 2, row })
      state.isJournalled = false
      records.note(row, [charge(12)])
      t.same(told, [true, true, false, false])
      t.equal(journaled.length, 3)
    }
  )

  t.test('writes down no word of why a request failed', async (t) => {
    const { records, journaled } = rig()
    const failure = {
      reason: 'said in confidence',
      detail: 'said in confidence',
      upstreamStatus: null,
      upstreamId: null
    }
    const row = usageRow({ turn: { ...TURN, failure } })
    records.note(row)
    t.notMatch(JSON.stringify(journaled), /confidence/)
    t.match(journaled, [{ row: { turn: { requestId: 'req_1' } } }])
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

  t.test('writes down which have begun and which are over, where that is wanted', async (t) => {
    const { records, rows, state, note, journaled, begun } = rig()
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
    t.same(rows(), [3], 'the primary hears of all')
  })
  t.end()
})
