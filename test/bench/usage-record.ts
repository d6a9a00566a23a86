import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DAY_MS, UsageDatabase } from '../../src/control/usage/usage-database.ts'
import { usagePath } from '../../src/control/usage/usage-recorder.ts'
import { readUsage, type UsageGroup } from '../../src/control/usage/usage-report.ts'
import type { UsageRow } from '../../src/ipc/usage-row.ts'

/*
 * What the record of usage costs, and how long questions take: two million requests of 45 days, by 30 keys, 6 clients and 8
 * models. CPU time of this thread, which is what the primary's event loop stands still for.
 */

const ROWS = 2_000_000
const DAYS = 45
/** As the recorder writes them. */
const BATCH = 250
const BATCHES_A_CHECKPOINT = 400

const folder = mkdtempSync(join(tmpdir(), 'usage-bench-'))
try {
  await measure(usagePath(folder))
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function measure(path: string): Promise<void> {
  const now = Date.now()
  const database = await UsageDatabase.open(path)
  let writing = 0
  let longest = 0
  for (let at = 0; at < ROWS; at += BATCH) {
    const rows = Array.from({ length: BATCH }, (_, n) => rowOf(at + n, now))
    const ms = cpuMsOf(() => database.write(rows, new Map()))
    writing += ms
    longest = Math.max(longest, ms)
    if ((at / BATCH) % BATCHES_A_CHECKPOINT === 0) await database.checkpoint()
  }
  await database.close()
  const size = Math.round(statSync(path).size / 2 ** 20)
  say(
    `a request takes ${((writing / ROWS) * 1000).toFixed(1)} µs, ${BATCH} of them at most ${longest.toFixed(1)} ms, all of them ${size} MB`
  )
  const midnight = Math.floor(now / DAY_MS) * DAY_MS
  await ask(path, 'key', midnight - 30 * DAY_MS, 'usage --by key --since 30d')
  await ask(path, 'model', 0, 'usage --by model, of all')
  await ask(path, 'hour', now - 7 * DAY_MS, 'usage --by hour --since 7d')
}

async function ask(path: string, by: UsageGroup, since: number, what: string): Promise<void> {
  const began = performance.now()
  const lines = await readUsage(path, { by, since, key: null })
  say(`${what}: ${Math.round(performance.now() - began)} ms, ${lines.length} lines`)
}

function rowOf(n: number, now: number): UsageRow {
  return {
    at: Math.floor(now - (1 - n / ROWS) * DAYS * DAY_MS),
    key: `k_${n % 30}`,
    client: `client-${n % 6}`,
    dialect: 'anthropic-messages',
    model: `claude-model-${n % 8}`,
    status: 200,
    code: '',
    inputTokens: 1_000,
    outputTokens: 100,
    cachedTokens: 9,
    credits: 1_234_567,
    totalMs: 5_000,
    firstMs: 300,
    repairs: 0
  }
}

function cpuMsOf(work: () => void): number {
  const before = process.threadCpuUsage()
  work()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1000
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
