import cluster, { type Worker } from 'node:cluster'
import type { MemoryPlan } from '../../config/memory-plan.ts'
import type { Config } from '../../config/settings.ts'
import { Channel } from '../../ipc/channel.ts'
import type { FromWorker, ToWorker } from '../../ipc/messages.ts'
import { messageOf } from '../../shared/errors.ts'
import type { WorkerEvents } from './supervisor.ts'

/**
 * glibc gives each thread a heap, up to 8 per core. With two, a worker takes 4 to 7 MB less when idle and 15 MB less
 * under large bodies, without more CPU. One would take a sixth more CPU.
 */
const WORKER_ENV = { MALLOC_ARENA_MAX: '2' } as const

export const LEAVING = {
  closingMs: 5_000,
  /** For streams that never end. Others end by themselves, since silence of either side is limited. */
  patienceMs: 3_600_000
} as const

export interface WorkerChannelOptions {
  readonly id: number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly events: WorkerEvents
  readonly onMessage: (message: FromWorker) => void
  readonly onStderr: (text: string) => void
  /** Beyond `DRAIN_TIMEOUT`, for streams of a worker that leaves for its successor. */
  readonly patienceMs: number
  readonly onRetire: () => void
  /** Called before the supervisor hears of it. */
  readonly onExit: () => void
}

/** A forked worker and its channel. `member` is unique in the ledger. A failed start counts as a death. */
export class WorkerChannel {
  readonly id: number
  readonly member: string
  readonly pid: number
  readonly startedAt = Date.now()
  /** A debugger may stop it for any time. */
  isDebugged = false
  readonly #options: WorkerChannelOptions
  readonly #worker: Worker | null
  readonly #channel: Channel<FromWorker, ToWorker> | null
  #hasExited = false
  #mayServe = false
  #killReason: string | null = null

  constructor(options: WorkerChannelOptions) {
    this.#options = options
    this.id = options.id
    this.#worker = this.#fork()
    this.pid = this.#worker?.process.pid ?? 0
    this.member = `worker ${options.id} pid ${this.pid}`
    this.#channel = this.#worker === null ? null : new Channel(this.#worker)
    this.#channel?.onMessage(options.onMessage)
  }

  get isServing(): boolean {
    return this.#mayServe
  }

  send(message: ToWorker): void {
    if (message.type === 'worker.start') this.#mayServe = true
    this.#channel?.send(message)
  }

  /** Has it take no new clients, serve the present ones, and exit when they have left or time is up. */
  retire(): void {
    this.#options.onRetire()
    this.send({ type: 'worker.retire', patienceMs: this.#options.patienceMs })
  }

  /** Has it accept nothing new, finish and exit. One that does not serve yet is killed: it would load code that it never uses. */
  drain(): void {
    if (this.#mayServe) this.send({ type: 'worker.drain' })
    else this.kill()
  }

  kill(reason?: string): void {
    this.#killReason = reason ?? this.#killReason
    this.#worker?.process.kill('SIGKILL')
  }

  /** Some systems refuse a process at once, others a moment later. */
  #fork(): Worker | null {
    try {
      const worker = cluster.fork({ ...this.#options.env, ...WORKER_ENV })
      worker.process.stderr?.setEncoding('utf8').on('data', this.#options.onStderr)
      worker.once('exit', (code, signal) => {
        const reason = signal ?? `exit code ${code}`
        // Its last messages may still be on their way.
        if (!worker.isConnected()) return this.#exited(reason)
        const timer = setTimeout(() => this.#exited(reason), LAST_WORDS_MS)
        worker.once('disconnect', () => {
          clearTimeout(timer)
          setImmediate(() => this.#exited(reason))
        })
      })
      worker.on('error', (cause) => {
        // The exit of a message's receiver is reported elsewhere; only a failed fork has no exit.
        if (worker.process.pid === undefined) this.#exited(notStarted(cause))
      })
      return worker
    } catch (cause) {
      setImmediate(() => this.#exited(notStarted(cause)))
      return null
    }
  }

  #exited(reason: string): void {
    if (this.#hasExited) return
    this.#hasExited = true
    this.#options.onExit()
    this.#options.events.onExit(this.#killReason ?? reason)
  }
}

const LAST_WORDS_MS = 500

function notStarted(cause: unknown): string {
  return `cannot be started: ${messageOf(cause)}`
}

/** V8 would return up to 15 MB after eight idle seconds, with compiled code, which the next answers would need. */
const KEEPS_CODE = '--no-memory-reducer'

/** Unwritten memory would hold earlier content: in a worker, words of other clients. Costs no measurable CPU. */
const CLEARS_MEMORY = '--zero-fill-buffers'

export interface ForkLog {
  readonly fd: number
  readonly args: readonly string[]
}

/**
 * Workers' flags may not change `v8.cachedDataVersionTag()`: V8 would take neither the compile cache nor Node's own
 * compiled code.
 */
export function setUpForks(workerEntry: string, { worker }: MemoryPlan, log: ForkLog): void {
  cluster.schedulingPolicy = cluster.SCHED_NONE // else a dying worker takes new connections with it
  cluster.setupPrimary({
    exec: workerEntry,
    args: [...log.args],
    execArgv: [
      `--max-old-space-size=${worker.oldSpaceMb}`,
      `--max-semi-space-size=${worker.semiSpaceMb}`,
      KEEPS_CODE,
      CLEARS_MEMORY
    ],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc', log.fd] // the last is WORKER_LOG_FD
  })
}

/** Removes what could renew or replace the sign-in: a compromised worker has only one token (architecture §1). */
export function toWorkerConfig(config: Config): Config {
  const secrets = { credsFile: null, refreshToken: null, apiKey: null, profileArn: null }
  const alerts = { webhookUrl: null, webhookSecret: null }
  const fleet = { ...config.fleet, url: config.fleet.url && '', secrets: [], secretFile: null }
  const observe = { ...config.observe, oidcClientSecret: null }
  return { ...config, alerts, fleet, observe, credentials: { ...config.credentials, ...secrets } }
}
