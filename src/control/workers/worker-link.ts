import cluster, { type Worker } from 'node:cluster'
import type { MemoryPlan } from '../../config/memory-plan.ts'
import type { Config } from '../../config/settings.ts'
import { Channel } from '../../ipc/channel.ts'
import type { FromWorker, ToWorker } from '../../ipc/messages.ts'
import { messageOf } from '../../shared/errors.ts'
import type { WorkerEvents, WorkerProcess } from './supervisor.ts'

/**
 * glibc gives every thread a heap of its own, up to 8 for each core, and Node has many threads: with two of them a worker
 * takes 4 to 7 MB less when idle, 15 under large bodies, and no more CPU. One would take a sixth more.
 */
const WORKER_ENV = { MALLOC_ARENA_MAX: '2' } as const

/** Times for a worker that leaves. */
export const LEAVING = {
  /** To close what is left when its time for streams is over. */
  closingMs: 5_000,
  /**
   * A replaced worker may go on with streams. Each of them ends by itself, for silence of either side is bounded; this
   * is for what never does, or the next worker would never be replaced.
   */
  patienceMs: 3_600_000
} as const

export interface WorkerLinkOptions {
  readonly id: number
  /** Environment for the worker: removed and added variables. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly events: WorkerEvents
  readonly onMessage: (message: FromWorker) => void
  /** Hears what it writes to standard error. */
  readonly onStderr: (text: string) => void
  /** Time beyond `DRAIN_TIMEOUT` that its streams may take when it leaves for its successor. */
  readonly patienceMs: number
  /** Called when it is asked to leave for its successor. */
  readonly onRetire: () => void
  /** Called before the supervisor hears of it. */
  readonly onExit: () => void
}

/**
 * A forked worker: its process, its channel, and its name in the ledger, which no other worker ever has. A process
 * that can't be started at all counts as one that has died.
 */
export class WorkerLink implements WorkerProcess {
  readonly id: number
  readonly member: string
  readonly pid: number
  /** Epoch ms. */
  readonly startedAt = Date.now()
  /** Under a debugger it may stop for as long as it likes. */
  isDebugged = false
  readonly #options: WorkerLinkOptions
  readonly #worker: Worker | null
  readonly #channel: Channel<FromWorker, ToWorker> | null
  #hasExited = false
  #mayServe = false
  #killReason: string | null = null

  constructor(options: WorkerLinkOptions) {
    this.#options = options
    this.id = options.id
    this.#worker = this.#fork()
    this.pid = this.#worker?.process.pid ?? 0
    this.member = `worker ${options.id} pid ${this.pid}`
    this.#channel = this.#worker === null ? null : new Channel(this.#worker)
    this.#channel?.onMessage(options.onMessage)
  }

  send(message: ToWorker): void {
    if (message.type === 'worker.start') this.#mayServe = true
    this.#channel?.send(message)
  }

  retire(): void {
    this.#options.onRetire()
    this.send({ type: 'worker.retire', patienceMs: this.#options.patienceMs })
  }

  /** A process that does not serve yet holds nothing: it is killed, as it would first load code that it never uses. */
  drain(): void {
    if (this.#mayServe) this.send({ type: 'worker.drain' })
    else this.kill()
  }

  /** `reason` is what its exit is reported with. */
  kill(reason?: string): void {
    this.#killReason = reason ?? this.#killReason
    this.#worker?.process.kill('SIGKILL')
  }

  /** Some systems refuse another process at once, others a moment later. */
  #fork(): Worker | null {
    try {
      const worker = cluster.fork({ ...this.#options.env, ...WORKER_ENV })
      worker.process.stderr?.setEncoding('utf8').on('data', this.#options.onStderr)
      worker.once('exit', (code, signal) => {
        const reason = signal ?? `exit code ${code}`
        // What it has sent may still be on its way.
        if (!worker.isConnected()) return this.#exited(reason)
        const timer = setTimeout(() => this.#exited(reason), LAST_WORDS_MS)
        worker.once('disconnect', () => {
          clearTimeout(timer)
          setImmediate(() => this.#exited(reason))
        })
      })
      worker.on('error', (cause) => {
        // A message that failed has no receiver, whose exit is reported; a fork that failed has none to report.
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

/** Longest wait for the last messages of a worker that has exited. */
const LAST_WORDS_MS = 500

function notStarted(cause: unknown): string {
  return `cannot be started: ${messageOf(cause)}`
}

/**
 * After eight idle seconds V8 would give up to 15 MB of a heap back, and with the types of what it collects all code that
 * was compiled for them: the next few hundred answers cost a quarter more. The memory is planned for anyway.
 */
const KEEPS_CODE = '--no-memory-reducer'

/**
 * V8 would learn from the survivors of one conversion to make what the next ones need in the old generation, where only a
 * full collection frees it: some processes came to that, and took a fifth more of a CPU for a conversation of 400 KB.
 */
const STARTS_YOUNG = '--no-allocation-site-pretenuring'

/**
 * Memory that Node and libraries allocate without writing it holds what was there before: in a worker, the words of other
 * clients. Costs no CPU that could be measured for conversations of 400 KB and for short ones.
 */
const CLEARS_MEMORY = '--zero-fill-buffers'

/** Destination and level of the workers' log lines. */
export interface ForkLog {
  readonly fd: number
  readonly args: readonly string[]
}

/** Sets up how worker processes are created from now on. They write log lines to `logFd`. */
export function setUpForks(workerEntry: string, { worker }: MemoryPlan, log: ForkLog): void {
  cluster.schedulingPolicy = cluster.SCHED_NONE // else a dying worker takes new connections with it
  cluster.setupPrimary({
    exec: workerEntry,
    args: [...log.args],
    execArgv: [
      `--max-old-space-size=${worker.oldSpaceMb}`,
      `--max-semi-space-size=${worker.semiSpaceMb}`,
      KEEPS_CODE,
      STARTS_YOUNG,
      CLEARS_MEMORY
    ],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc', log.fd] // the last is WORKER_LOG_FD
  })
}

/**
 * The config as workers get it: without what could renew or replace the sign-in, and without where alerts go. They are handed tokens one by one
 * (architecture §1), so that a worker that is taken over gives away no more than the one it has.
 */
export function toWorkerConfig(config: Config): Config {
  const secrets = { credsFile: null, refreshToken: null, apiKey: null, profileArn: null }
  const alerts = { webhookUrl: null, webhookSecret: null }
  const fleet = { ...config.fleet, url: config.fleet.url && '', secrets: [], secretFile: null }
  return { ...config, alerts, fleet, credentials: { ...config.credentials, ...secrets } }
}
