import cluster, { type Worker } from 'node:cluster'
import { Channel } from '../ipc/channel.ts'
import type { FromWorker } from '../ipc/messages.ts'
import type { MetricsSnapshot } from '../observe/metrics.ts'
import type { Outgoing } from './cluster-types.ts'
import type { WorkerEvents, WorkerProcess } from './supervisor.ts'

export interface WorkerLinkOptions {
  readonly id: number
  readonly events: WorkerEvents
  readonly onMessage: (message: FromWorker<MetricsSnapshot>) => void
  /** Called before the supervisor hears of it. */
  readonly onExit: () => void
}

/** A forked worker: its process, its channel, and its name in the ledger, which no other worker ever has. */
export class WorkerLink implements WorkerProcess {
  readonly id: number
  readonly member: string
  readonly pid: number
  readonly #worker: Worker
  readonly #channel: Channel<FromWorker<MetricsSnapshot>, Outgoing>

  constructor({ id, events, onMessage, onExit }: WorkerLinkOptions) {
    this.id = id
    this.#worker = cluster.fork()
    this.pid = this.#worker.process.pid ?? 0
    this.member = `worker ${id} pid ${this.pid}`
    this.#channel = new Channel(this.#worker)
    this.#channel.onMessage(onMessage)
    this.#worker.on('error', () => {}) // a fork that failed also exits; a message that failed has no receiver
    this.#worker.once('exit', (code, signal) => {
      onExit()
      events.onExit(signal ?? `exit code ${code}`)
    })
  }

  send(message: Outgoing): void {
    this.#channel.send(message)
  }

  drain(): void {
    this.#channel.send({ type: 'worker.drain' })
  }

  kill(): void {
    this.#worker.process.kill('SIGKILL')
  }
}
