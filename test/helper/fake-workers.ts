import type { WorkerEvents, WorkerProcess } from '../../src/control/workers/supervisor.ts'

/** A worker process that does what the test says. */
export class FakeWorker implements WorkerProcess {
  readonly id: number
  readonly pid: number
  readonly events: WorkerEvents
  /** What it was told. */
  readonly told: string[] = []

  constructor(id: number, pid: number, events: WorkerEvents) {
    this.id = id
    this.pid = pid
    this.events = events
  }

  retire(): void {
    this.told.push('retire')
  }

  drain(): void {
    this.told.push('drain')
  }

  kill(): void {
    this.told.push('kill')
  }
}

/** What a supervisor has forked, in order. */
export class FakeWorkers {
  readonly all: FakeWorker[] = []

  readonly fork = (id: number, events: WorkerEvents): WorkerProcess => {
    const worker = new FakeWorker(id, 1000 + this.all.length, events)
    this.all.push(worker)
    return worker
  }

  /** The one that fills a slot now. */
  at(id: number): FakeWorker {
    const worker = this.all.findLast((one) => one.id === id)
    if (worker === undefined) throw new Error(`no worker was ever forked for slot ${id}`)
    return worker
  }
}
