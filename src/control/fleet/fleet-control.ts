import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CredentialSource } from '../../credentials/stored-credential.ts'
import { FleetCore } from '../../fleet/fleet-core.ts'
import type { FleetRefusal } from '../../fleet/fleet-news.ts'
import type { FleetQuestion } from '../../fleet/fleet-store.ts'
import { createIncarnation, FleetFolder } from '../../fleet/fleet-folder.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import { sealOf } from '../../fleet/fleet-secrets.ts'
import { ValkeyStore } from '../../fleet/valkey-store.ts'
import type { FleetTold } from '../../ipc/life-signs.ts'
import type { ToWorker } from '../../ipc/messages.ts'
import { fleetTimes, type FleetTimes, type Instant, instantNow } from '../../shared/elapsed.ts'
import { operatorError, type GatewayError } from '../../shared/errors.ts'
import type { Budget } from '../budget/budget.ts'
import { orphansGone, portsOf } from '../workers/orphans.ts'
import { FleetAsker } from './fleet-asker.ts'
import { FleetFigures } from './fleet-figures.ts'
import { FleetLedger } from './fleet-ledger.ts'
import { FleetNotices, REFUSALS } from './fleet-notices.ts'
import { fleetProblem } from './fleet-problem.ts'
import { FleetShares, type FleetSharesOptions } from './fleet-shares.ts'
import { FleetSignIn } from './fleet-sign-in.ts'
import { WatchedRecords } from './watched-records.ts'

export interface FleetControlOptions
  extends Pick<FleetSharesOptions, 'config' | 'keys' | 'devices' | 'sessions' | 'knows' | 'log'> {
  readonly budget: Budget
  readonly tell: (message: ToWorker) => void
  readonly source: CredentialSource | null
  /** Called before `start()` has resolved. */
  readonly shareSignIn: (signIn: FleetSignIn) => void
  /** Called if this gateway cannot be a member, and waiting would not help. */
  readonly onRefused: (error: GatewayError) => void
}

/** Waiters count for other gateways from this age: another worker here may have an idle connection. */
const PATIENCE_MS = 15
/** Longest time for the last messages; the second without a connection to Valkey, which may return at once. */
const GOODBYE_MS = 2_000
const UNHEARD_GOODBYE_MS = 250
const PREDECESSOR_MS = 10_000

/** Membership in a fleet: asks Valkey what the core wants to know, and makes the ledger follow. */
export class FleetControl {
  readonly figures: FleetFigures
  readonly #options: FleetControlOptions
  readonly #name: string
  readonly #times: FleetTimes
  readonly #replicas: number
  readonly #ledger: FleetLedger
  readonly #notices: FleetNotices
  readonly #asker: FleetAsker
  #store: ValkeyStore | null = null
  #records: WatchedRecords | null = null
  #core: FleetCore | null = null
  #folder: FleetFolder | null = null
  #signIn: FleetSignIn | null = null
  #shares: FleetShares | null = null
  #timer: NodeJS.Timeout | null = null
  #isLooking = false
  #isDraining = false
  #refusal: FleetRefusal | null = null
  #waitingSince: number | null = null
  #told: FleetTold | null = null
  #toldAt = -Infinity
  /** Past incarnations of this member, newest last. Bounded by sixteen. */
  #incs: readonly string[] = []

  /** Sets the budget to nothing until `start()` has found a fleet. */
  constructor(options: FleetControlOptions) {
    this.#options = options
    const { name, member, replicas, leaseMs } = options.config.fleet
    this.#name = member ?? hostname().slice(0, 63) // a slice of what is short
    this.figures = new FleetFigures({
      name,
      member: this.#name,
      holder: () => this.#signIn?.holder ?? null,
      unshared: () => this.#unshared,
      counts: () => this.#store?.counts ?? null
    })
    this.#times = fleetTimes(leaseMs)
    this.#replicas = replicas ?? 1
    this.#notices = new FleetNotices({
      log: options.log,
      times: this.#times,
      own: () => ({ max: options.budget.configured ?? 0, replicas: this.#replicas })
    })
    this.#asker = new FleetAsker({
      store: () => this.#store,
      remember: (core) => this.#remember(core),
      onHeard: () => {
        this.#notices.onHeard()
        this.#lookSoon() // not after the disk
      },
      log: options.log
    })
    this.#ledger = new FleetLedger({
      budget: options.budget,
      onLent: (permits) => {
        this.#core?.giveBack(permits)
        this.#lookSoon()
      },
      onChange: () => this.#lookSoon()
    })
  }

  /** @throws {GatewayError} GW_CONFIG_INVALID if this gateway cannot be a member */
  async start(): Promise<void> {
    const folder = await this.#takeFolder()
    const seal = await sealOf(this.#options.config.fleet)
    const records = await this.#connect(seal)
    await this.#share(records, seal)
    await this.#join(folder, seal)
    await this.#shareSignIn(records, seal)
  }

  /** Resolves once nothing of an earlier process of this folder runs any more. */
  async #takeFolder(): Promise<FleetFolder> {
    const { credentials, cluster } = this.#options.config
    const patienceMs = cluster.drainTimeoutMs + PREDECESSOR_MS
    const folder = await FleetFolder.take(credentials.stateDir, patienceMs)
    if (folder === null) throw operatorError(FOLDER_IN_USE)
    this.#folder = folder
    const ports = portsOf(this.#options.config)
    await orphansGone({ ports, delay: (ms) => sleep(ms) }) // nothing else may keep this process alive yet
    this.#incs = folder.memory.incs
    return folder
  }

  async #connect(seal: FleetSeal): Promise<WatchedRecords> {
    const { config, log, onRefused } = this.#options
    const { fleet } = config
    this.#store = await ValkeyStore.open({
      url: fleet.url ?? '',
      name: fleet.name,
      seal,
      replicas: fleet.valkeyReplicas,
      onRefused,
      onConnection: ({ isUp, reason }) => {
        if (isUp) log.info("connected to the fleet's Valkey")
        else log.warn({ reason }, "no connection to the fleet's Valkey")
      }
    })
    this.#records = new WatchedRecords({
      records: this.#store.records,
      onChange: () => this.#lookSoon()
    })
    return this.#records
  }

  async #share(records: WatchedRecords, seal: FleetSeal): Promise<void> {
    this.#shares = new FleetShares({
      ...this.#options,
      records,
      seal,
      times: this.#times,
      member: this.#name,
      replicas: this.#replicas,
      status: () => ({ inc: this.#core?.inc ?? '', state: this.#core?.state ?? null }),
      incs: () => this.#incs,
      onChange: () => this.#lookSoon()
    })
    await this.#shares.start()
  }

  async #join(folder: FleetFolder, seal: FleetSeal): Promise<void> {
    const { config, budget } = this.#options
    const core = new FleetCore({
      name: this.#name,
      max: budget.configured ?? 0,
      replicas: this.#replicas,
      check: seal.checks[0] ?? '',
      times: this.#times,
      createInc: () => createIncarnation(config.fleet.podUid),
      ended: this.#incs,
      known: folder.memory.known,
      isSole: config.fleet.identity === 'statefulset'
    })
    await this.#remember(core)
    if (this.#isDraining) return
    this.#core = core // only now: no next process would know of it
    this.#store?.onNews((rev) => {
      this.#core?.onNews(rev)
      this.#lookSoon()
    })
    this.#lookSoon()
  }

  async #shareSignIn(records: WatchedRecords, seal: FleetSeal): Promise<void> {
    const { source, shareSignIn, config, log } = this.#options
    if (source === null) return
    this.#signIn = await FleetSignIn.of(source, {
      config,
      records,
      seal,
      self: this.#name,
      isOpen: () => this.#core?.state?.phase === 'open',
      log
    })
    shareSignIn(this.#signIn)
  }

  /** Returns everything as requests end, then leaves. `end` ends what runs. */
  async drain(end: () => Promise<void>): Promise<void> {
    this.#isDraining = true
    this.#core?.leave()
    this.#lookSoon()
    await end()
    const core = this.#core
    const deadline =
      performance.now() + (this.#store?.isUp === true ? GOODBYE_MS : UNHEARD_GOODBYE_MS)
    const leftMs = (): number => deadline - performance.now()
    if (core !== null) {
      core.giveBack(core.held) // every process that had a socket is gone
      while (!core.hasLeft && core.isMember && leftMs() > 0) {
        this.#look()
        await sleep(10)
      }
    }
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#core = null
    this.#signIn?.close()
    await this.#shares?.close(leftMs)
    await this.#store?.close()
    this.#folder?.close()
  }

  #lookSoon(): void {
    if (this.#isLooking) return
    this.#isLooking = true
    setImmediate(() => {
      this.#isLooking = false
      this.#look()
    })
  }

  #look(): void {
    const core = this.#core
    if (core === null) return
    const now = instantNow()
    core.setSize(this.#options.budget.configured ?? 0, this.#replicas)
    this.#noteWaiters(core)
    const question = core.next(now)
    if (question !== null) void this.#ask(core, question) // never rejects
    const stage = core.stage(now)
    this.#ledger.setReplicas(Math.max(this.#replicas, this.#seenReplicas))
    this.#ledger.setSize(core.size(now))
    this.#ledger.setDemand(core.demand(now))
    if (stage === 'cut' && this.#ledger.isEmpty) {
      core.onAllGone()
      void this.#asker.remember(core) // never rejects
      this.#lookSoon()
    }
    this.#tellWorkers(core, now)
    this.#notices.look(core)
    this.#aim(core, now)
  }

  #noteWaiters(core: FleetCore): void {
    const { waiting } = this.#ledger
    const now = performance.now()
    if (waiting === 0) this.#waitingSince = null
    else this.#waitingSince ??= now
    const waitedMs = this.#waitingSince === null ? 0 : now - this.#waitingSince
    core.setWant(waitedMs >= PATIENCE_MS ? waiting : 0, waitedMs)
  }

  get #seenReplicas(): number {
    const state = this.#core?.state
    if (state === null || state === undefined) return 0
    const names = new Set(Object.values(state.members).map(({ name }) => name))
    return Math.max(state.replicas, names.size)
  }

  /** Empty while Valkey does not answer at all, which is reported instead. */
  get #unshared(): readonly string[] {
    return this.#notices.isAlarmed ? [] : (this.#records?.unshared ?? [])
  }

  #aim(core: FleetCore, now: Instant): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    let waitMs = Math.min(this.#times.beatMs, core.wakeAt(now) - now.mono)
    if (this.#waitingSince !== null) waitMs = Math.min(waitMs, PATIENCE_MS)
    this.#timer = setTimeout(() => this.#look(), Math.max(2, Math.ceil(waitMs)))
  }

  async #ask(core: FleetCore, question: FleetQuestion): Promise<void> {
    await this.#asker.ask(core, question)
    const { refusal } = core
    if (refusal !== this.#refusal) {
      this.#refusal = refusal
      if (refusal !== null) this.#options.log.error({ refusal }, REFUSALS[refusal])
    }
    // A serving gateway continues as without Valkey until its lease ends.
    if (refusal !== null && core.sentAt === null)
      this.#options.onRefused(operatorError(REFUSALS[refusal]))
    this.#lookSoon()
  }

  async #remember(core: FleetCore): Promise<void> {
    if (!this.#incs.includes(core.inc)) this.#incs = [...this.#incs, core.inc].slice(-16)
    await this.#folder?.remember({ incs: this.#incs, known: core.known })
  }

  #tellWorkers(core: FleetCore, now: Instant): void {
    const problem = fleetProblem(core, now) ?? this.#shares?.problem ?? null
    const status = this.figures.note(core, now, problem)
    const told: FleetTold = {
      type: 'fleet.told',
      sentAt: core.sentAt,
      times: this.#times,
      problem,
      status
    }
    const before = this.#told
    if (before?.problem !== problem) this.#notices.onProblem(core, now, problem)
    const isOther = status.unshared.join() !== (before?.status.unshared ?? []).join()
    if (isOther) this.#notices.onUnshared(status.unshared)
    const isOld = now.mono - this.#toldAt >= this.#times.beatMs // a worker may have come since
    const isSame = before?.problem === told.problem && before.sentAt === told.sentAt && !isOther
    if (isSame && !isOld) return
    this.#told = told
    this.#toldAt = now.mono
    this.#options.tell(told)
  }
}

const FOLDER_IN_USE =
  'STATE_DIR is in use by another running gateway. Each replica of a fleet needs its own STATE_DIR.'
