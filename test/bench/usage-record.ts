import { DAY_MS, UsageDatabase } from '../../src/control/usage/usage-database.ts'
import { usagePath } from '../../src/control/usage/usage-recorder.ts'
import type { UsageRow } from '../../src/ipc/usage-row.ts'
import { seededRandom } from '../helper/seeded-random.ts'

/** As the recorder writes them. */
const BATCH = 250
const BATCHES_A_CHECKPOINT = 20

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

/** Makes a record of usage as a team leaves it: by 30 keys, with 6 clients and 8 models, in all combinations. */
export async function fillRecord(
  stateDir: string,
  { rows, days }: RecordSize
): Promise<RecordCost> {
  const now = Date.now()
  const database = await UsageDatabase.open(usagePath(stateDir))
  const random = seededRandom(1)
  const names = new Map(Array.from({ length: 30 }, (_, n) => [`k_${n}`, `person-${n}`]))
  const rowOf = (n: number): UsageRow => ({
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
    repairs: 0
  })
  let cpuMs = 0
  let longestBatch = 0
  for (let at = 0; at < rows; at += BATCH) {
    const batch = Array.from({ length: BATCH }, (_, n) => {
      return { journal: 'worker', seq: at + n, row: rowOf(at + n) }
    })
    const ms = cpuMsOf(() => database.write(batch, at === 0 ? names : new Map()))
    cpuMs += ms
    longestBatch = Math.max(longestBatch, ms)
    if ((at / BATCH) % BATCHES_A_CHECKPOINT === 0) await database.checkpoint()
  }
  await database.close()
  return { perRow: (cpuMs * 1000) / rows, longestBatch }
}

function cpuMsOf(work: () => void): number {
  const before = process.threadCpuUsage()
  work()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1000
}
