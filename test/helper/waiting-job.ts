import { workerData } from 'node:worker_threads'
import { type JobMark, markBegin } from '../../src/transform/transform-job.ts'

/** The thread of a job that gets no CPU until its gate is opened, and then takes all there is. */

export interface WaitingJob {
  readonly mark: JobMark
  readonly gate: Int32Array<SharedArrayBuffer>
}

/** By then whoever has started it has given up. */
const PatienceMs = 60_000

const { mark, gate } = workerData as WaitingJob
markBegin(mark)
Atomics.wait(gate, 0, 0, PatienceMs)
for (;;);
