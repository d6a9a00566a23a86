import { CostQueue } from '../../src/admission/fair-queue.ts'
import { convertRequest, type DialectName } from '../../src/dialects/dialect.ts'
import { TransformPool } from '../../src/transform/transform-pool.ts'
import { chatBody, messagesBody } from '../helper/agent-request.ts'
import { requestOptions } from '../helper/request-options.ts'

/**
 * What transforming a request costs, inline and through a warm thread: run it by hand on an idle machine. The columns
 * are milliseconds for one request: CPU time of the event loop's thread, then wall time. The inline threshold
 * is where inline work would hold the loop longer than the other streams may wait.
 */

const SIZES_KB = [4, 16, 64, 128, 256, 400, 1024, 4096]
const MIN_RUNS = 20
const BUDGET_MS = 1500

const options = requestOptions()
const owner = { key: 'one', signal: new AbortController().signal }
const pool = new TransformPool({
  threads: 1,
  inlineMaxBytes: 0,
  maxQueue: 1,
  timeoutMs: 60_000,
  createQueue: () => new CostQueue(),
  threadHeapMb: 128,
  pdfHeapMb: 32,
  pdfBufferBytes: 32 * 2 ** 20,
  threadSemiSpaceMb: 4,
  idleTimeoutMs: 10_000,
  closeTimeoutMs: 2_000
})

const rows: Record<string, string>[] = []
for (const dialect of ['anthropic-messages', 'openai-chat'] as const) {
  const make = dialect === 'openai-chat' ? chatBody : messagesBody
  for (const kb of SIZES_KB) {
    const body = make({ bytes: kb * 1024, tools: kb < 64 ? 2 : 20 })
    const inline = await measure(async () => void convertRequest(dialect, body, options))
    const threaded = await measure(() => runInThread(dialect, body))
    rows.push({
      dialect,
      KB: `${Math.round(body.byteLength / 1024)}`,
      'inline cpu': inline.cpuMs.toFixed(2),
      'inline wall': inline.wallMs.toFixed(2),
      'thread cpu on loop': threaded.cpuMs.toFixed(2),
      'thread wall': threaded.wallMs.toFixed(2)
    })
  }
}
console.table(rows)
await pool.close()

async function runInThread(dialect: DialectName, body: Buffer): Promise<void> {
  await pool.run({ type: 'convert', dialect, body: new Uint8Array(body), options }, owner)
}

/** CPU time of this thread alone, and wall time, per run; medians would hide the garbage collector. */
async function measure(run: () => Promise<void>): Promise<{ cpuMs: number; wallMs: number }> {
  for (let warm = 0; warm < MIN_RUNS; warm++) await run()
  const cpu = process.threadCpuUsage()
  const start = performance.now()
  let runs = 0
  while (runs < MIN_RUNS || performance.now() - start < BUDGET_MS) {
    await run()
    runs++
  }
  const { user, system } = process.threadCpuUsage(cpu)
  return { cpuMs: (user + system) / 1000 / runs, wallMs: (performance.now() - start) / runs }
}
