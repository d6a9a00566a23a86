import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { JobLimit } from '../../src/transform/job-limit.ts'
import { createJobMark } from '../../src/transform/transform-job.ts'
import type { WaitingJob } from '../helper/waiting-job.ts'

t.setTimeout(120_000) // a busy machine

const MaxMs = 200
const File = new URL('../helper/waiting-job.ts', import.meta.url)

t.test(
  'a job that waits for a CPU is not ended for it, one that has had too much is',
  async (t) => {
    const mark = createJobMark()
    const gate = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
    const thread = new Worker(File, { workerData: { mark, gate } satisfies WaitingJob })
    t.teardown(() => thread.terminate())
    await once(thread, 'online')
    const { promise: over, resolve } = Promise.withResolvers<string>()
    const onTooMuch = (): void => resolve('over')
    using _ = new JobLimit({ piscina: { threads: [thread] }, mark, maxMs: MaxMs, onTooMuch })
    const byTheClock = delay(4 * MaxMs, 'too long by the clock')
    t.equal(await Promise.race([over, byTheClock]), 'too long by the clock')
    Atomics.store(gate, 0, 1)
    Atomics.notify(gate, 0)
    t.equal(await over, 'over')
  }
)
