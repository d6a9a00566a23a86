import cluster from 'node:cluster'
import type { MemoryPlan } from '../config/memory-plan.ts'
import type { Config } from '../config/settings.ts'
import type { LeaseTerms } from '../ipc/lease-messages.ts'
import type { ClusterStatus, FromWorker } from '../ipc/messages.ts'
import type { Logger } from '../observe/logger.ts'
import { GatewayError } from '../shared/errors.ts'
import { Budget } from './budget.ts'
import type { Outgoing } from './cluster-types.ts'
import { CONTROL, ControlLane } from './control-lane.ts'
import { CredentialDesk } from './credential-desk.ts'
import { ModelCatalogue } from './model-catalogue.ts'
import { poolLine, shareLine } from './pool-lines.ts'
import { type SlotChange, Supervisor, type WorkerEvents } from './supervisor.ts'
import { WorkerLink } from './worker-link.ts'

export interface PrimaryOptions {
  readonly config: Config
  /** How memory is shared out; also how many workers there are. */
  readonly memory: MemoryPlan
  /** Upstream answers come from the built-in simulator, whose address is in `config`. */
  readonly isSimulated: boolean
  /** What a worker process runs. */
  readonly workerEntry: string
  readonly log: Logger
}

/**
 * The control plane: wires supervisor, budget, credentials and catalogue to the workers. No byte of a client's
 * request ever comes here.
 */
export class Primary {
  readonly #options: PrimaryOptions
  readonly #links = new Map<number, WorkerLink>()
  readonly #budget: Budget
  readonly #lane: ControlLane
  readonly #credentials: CredentialDesk
  readonly #catalogue: ModelCatalogue
  readonly #supervisor: Supervisor
  /** Workers are told to serve once this has resolved. */
  readonly #mayServe = Promise.withResolvers<void>()
  readonly #ready = Promise.withResolvers<number>()

  /** @throws {GatewayError} GW_CONFIG_INVALID when there are no usable credentials. */
  constructor(options: PrimaryOptions) {
    this.#options = options
    const { config, isSimulated, log } = options
    this.#budget = new Budget({
      size: { ...config.pool, workers: options.memory.workers },
      send: (member, terms) => this.#sendTerms(member, terms)
    })
    this.#lane = new ControlLane(this.#budget, config)
    const { call } = this.#lane
    this.#credentials = new CredentialDesk({
      config,
      isSimulated,
      call,
      log,
      onNews: (news) => this.#broadcast({ type: 'credential.changed', news })
    })
    this.#catalogue = new ModelCatalogue({
      call,
      overrides: config.upstream,
      userAgent: config.upstream.userAgent,
      credential: () => this.#credentials.current(),
      onChange: (catalogue) => this.#broadcast({ type: 'catalogue.changed', catalogue }),
      log
    })
    this.#supervisor = new Supervisor({
      slots: options.memory.workers,
      fork: (id, events) => this.#fork(id, events),
      onChange: (change) => this.#onSlotChange(change)
    })
  }

  /**
   * Resolves with the port once every worker listens.
   *
   * @throws {GatewayError} GW_CONFIG_INVALID when the credentials can't be read or the address can't be listened on.
   */
  async start(): Promise<number> {
    this.#logPool()
    cluster.schedulingPolicy = cluster.SCHED_NONE // else a dying worker takes new connections with it
    cluster.setupPrimary({
      exec: this.#options.workerEntry,
      args: [],
      execArgv: heapArguments(this.#options.memory)
    })
    this.#supervisor.start() // before the credentials are read, as starting a process takes longer
    try {
      await this.#credentials.start()
    } catch (error) {
      this.destroy()
      throw error
    }
    this.#mayServe.resolve()
    void this.#catalogue.start() // reports its own failures
    return this.#ready.promise
  }

  /** Lets running streams end; resolves when all workers have exited and everything is closed. */
  async drain(): Promise<void> {
    this.#catalogue.close()
    await this.#supervisor.drain()
    await this.#credentials.close()
    await this.#lane.close()
  }

  /** Ends every worker now. */
  destroy(): void {
    this.#supervisor.destroy()
  }

  #logPool(): void {
    const { config, memory, log } = this.#options
    log.info(poolLine(config))
    const shares = this.#budget.shares()
    for (let index = 0; index < memory.workers; index++) {
      const share = {
        maxConnections: shares.maxConnections?.[index] ?? null,
        maxKeepalive: shares.maxKeepalive?.[index] ?? null
      }
      log.info(shareLine(index + 1, share))
    }
  }

  #fork(id: number, events: WorkerEvents): WorkerLink {
    const link = new WorkerLink({
      id,
      events,
      onMessage: (message) => this.#onMessage(link, message, events),
      onExit: () => this.#onExit(link)
    })
    this.#links.set(id, link)
    return link
  }

  #onMessage(link: WorkerLink, message: FromWorker, events: WorkerEvents): void {
    switch (message.type) {
      case 'worker.hello':
        void this.#mayServe.promise.then(() => this.#letServe(link)) // never rejects
        break
      case 'worker.ready':
        events.onReady()
        if (this.#areAllReady()) this.#ready.resolve(message.port)
        break
      case 'worker.failed':
        this.#ready.reject(new GatewayError('GW_CONFIG_INVALID', undefined, message))
        break
      case 'lease.report':
        this.#budget.onReport(link.member, message)
        break
      case 'credential.refused':
        void this.#renew(link, message.requestId, message.token) // never rejects
        break
      case 'credential.suspended':
        this.#credentials.suspended(message.token, message.message)
        break
      case 'metrics.snapshot':
        break
    }
  }

  #areAllReady(): boolean {
    return this.#supervisor.states().every(({ state }) => state.name === 'ready')
  }

  #letServe(link: WorkerLink): void {
    const { config, isSimulated, memory } = this.#options
    link.send({
      type: 'worker.start',
      workerId: link.id,
      config,
      news: this.#credentials.news(),
      catalogue: this.#catalogue.current,
      isSimulated,
      memory: {
        bodyBytes: memory.bodyBytesPerWorker,
        threads: memory.threads,
        threadOldSpaceMb: memory.thread.oldSpaceMb,
        threadSemiSpaceMb: memory.thread.semiSpaceMb
      },
      status: this.#status()
    })
    this.#budget.join(link.member, link.id - 1)
  }

  #sendTerms(member: string, terms: LeaseTerms): void {
    if (member === CONTROL) this.#lane.onTerms(terms)
    for (const link of this.#links.values()) if (link.member === member) link.send(terms)
  }

  async #renew(link: WorkerLink, requestId: number, token: string): Promise<void> {
    link.send({
      type: 'credential.renewed',
      requestId,
      news: await this.#credentials.refused(token)
    })
  }

  #onExit(link: WorkerLink): void {
    if (this.#links.get(link.id) === link) this.#links.delete(link.id)
    this.#budget.stopped(link.member)
    setTimeout(() => this.#budget.left(link.member), SOCKETS_GONE_MS).unref()
  }

  #onSlotChange({ id, pid, state, reason }: SlotChange): void {
    const { log } = this.#options
    const facts = { worker: id, workerPid: pid, state: state.name }
    if (state.name === 'backoff') log.error({ ...facts, reason, ...state }, 'worker died')
    else log.info(facts, 'worker changed state')
    this.#broadcast({ type: 'cluster.status', status: this.#status() })
  }

  #status(): ClusterStatus {
    return {
      workers: this.#supervisor.states().map(({ id, state }) => ({ id, state: state.name })),
      isCrashLooping: this.#supervisor.isCrashLooping()
    }
  }

  #broadcast(message: Outgoing): void {
    for (const link of this.#links.values()) link.send(message)
  }
}

/**
 * After a process has died the kernel closes its sockets, but the upstream has to notice before others may take
 * their places.
 */
const SOCKETS_GONE_MS = 150

function heapArguments({ worker }: MemoryPlan): string[] {
  return [
    `--max-old-space-size=${worker.oldSpaceMb}`,
    `--max-semi-space-size=${worker.semiSpaceMb}`
  ]
}
