import { BookDatabase } from '../../src/control/book/book-database.ts'
import type { BookRow } from '../../src/control/book/book-messages.ts'
import { DAY_MS, usagePath } from '../../src/control/book/usage-sums.ts'
import { markOf } from '../../src/shared/process-mark.ts'
import { seededRandom } from '../helper/seeded-random.ts'

/** Rows of a busy gateway that are written together. */
const BATCH = 250

export interface RecordSize {
  readonly rows: number
  /** Up to now; the requests are spread evenly over them. */
  readonly days: number
}

/** What it took to write a record. */
export interface RecordCost {
  /** Microseconds of CPU, for each request. */
  readonly perRow: number
  /** Milliseconds of CPU. */
  readonly longestBatch: number
}

/** Of a plain streamed answer. */
const FACTS =
  '{"r":"/v1/messages","s":1,"p":{"read":1,"transform":2,"ttfb":612,"stream":2412},"a":1,"w":1,"b":312412}'

/** Makes a record of usage as a team leaves it: by 30 keys, with 6 clients and 8 models, in all combinations. */
export async function fillRecord(
  stateDir: string,
  { rows, days }: RecordSize
): Promise<RecordCost> {
  const now = Date.now()
  const run = { id: 'bench', mark: markOf(process.pid) }
  const { book } = await BookDatabase.open({
    path: usagePath(stateDir),
    now,
    run,
    isKept: true,
    periods: [],
    damagedFile: null
  })
  const random = seededRandom(1)
  const names = Array.from({ length: 30 }, (_, n) => [`k_${n}`, `person-${n}`] as const)
  const rowOf = (n: number): BookRow => ({
    at: Math.floor(now - (1 - n / rows) * days * DAY_MS),
    key: `k_${Math.floor(random() * 30)}`,
    client: `client-${Math.floor(random() * 6)}`,
    dialect: 'anthropic-messages',
    model: `claude-model-${Math.floor(random() * 8)}`,
    status: 200,
    code: '',
    inputTokens: 1_000,
    outputTokens: 100,
    cachedTokens: 9,
    credits: 1_234_567,
    totalMs: 5_000,
    firstMs: 300,
    repairs: 0,
    turn: { requestId: `req_${n.toString(16).padStart(32, '0')}`, facts: FACTS }
  })
  let cpuMs = 0
  let longestBatch = 0
  for (let at = 0; at < rows; at += BATCH) {
    const before = process.threadCpuUsage()
    await book.commit({
      seq: at / BATCH,
      now,
      isKept: true,
      rows: Array.from({ length: BATCH }, (_, n) => rowOf(at + n)),
      sums: [],
      names: at === 0 ? names : [],
      charges: [],
      asks: [],
      prices: [],
      audit: [],
      pruneBefore: 0
    })
    const { user, system } = process.threadCpuUsage(before)
    const ms = (user + system) / 1000
    cpuMs += ms
    longestBatch = Math.max(longestBatch, ms)
  }
  book.close()
  return { perRow: (cpuMs * 1000) / rows, longestBatch }
}
