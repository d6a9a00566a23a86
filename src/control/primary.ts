import { childEnvironment } from '../config/load-process.ts'
import { reload } from '../config/load.ts'
import type { MemoryPlan } from '../config/memory-plan.ts'
import type { Config } from '../config/settings.ts'
import type { CredentialSource } from '../credentials/stored-credential.ts'
import type { SharedItems } from '../ipc/fleet-items.ts'
import type {
  Answers,
  ClusterStatus,
  FromWorker,
  WorkerQuestion,
  ToWorker
} from '../ipc/messages.ts'
import type { Logger } from '../observe/logger.ts'
import { GatewayError, messageOf } from '../shared/errors.ts'
import { logProxy } from '../upstream/proxy/proxy.ts'
import { AccountControl } from './account-control.ts'
import { AlertControl } from './alerts/alert-control.ts'
import { Budget, watchQueue } from './budget/budget.ts'
import { CONTROL, ControlLane } from './budget/control-lane.ts'
import { KeyTrialPace } from './keys/key-trial-pace.ts'
import { LearntTokens } from './account/learnt-tokens.ts'
import { SharedLessons } from './account/shared-lessons.ts'
import { DeviceControl } from './device-control.ts'
import { FiguresControl } from './figures-control.ts'
import { KeyControl } from './key-control.ts'
import { OidcControl } from './oidc-control.ts'
import { PanelControl } from './panel-control.ts'
import type { SettingsOperations } from './panel/settings-actions.ts'
import { PanelSessions } from './panel-sessions.ts'
import { PlanControl } from './plan-control.ts'
import { Doors } from './workers/doors.ts'
import { freePermits } from './workers/orphans.ts'
import { StallWatch } from './workers/stall-watch.ts'
import { ToldMarks } from './workers/told-marks.ts'
import {
  hasDied,
  logSlotChange,
  rollingRestart,
  type SlotChange,
  Supervisor,
  type WorkerEvents
} from './workers/supervisor.ts'
import { compactionKeys } from './compaction-keys.ts'
import { SocketPlaces } from './workers/socket-places.ts'
import { LEAVING, setUpForks, toWorkerConfig, WorkerChannel } from './workers/worker-channel.ts'

export interface PrimaryOptions {
  readonly config: Config
  readonly source: CredentialSource | null
  readonly memory: MemoryPlan
  readonly isSimulated: boolean
  readonly workerEntry: string
  readonly log: Logger
  readonly forkLog: Parameters<typeof setUpForks>[2]
  readonly onStderr: (text: string) => void
  /** Called if the credentials prove unusable after `start()` has resolved. */
  readonly onFatal: (cause: unknown) => void
}

/** The control plane: wires its parts to the workers. No byte of a client's request ever comes here. */
export class Primary {
  readonly #options: PrimaryOptions
  #config: Config
  /** By member. Bounded by WORKERS, twice while they are replaced. */
  readonly #channels = new Map<string, WorkerChannel>()
  readonly #marks = new ToldMarks(() => this.#channels.values())
  /** Read before the first worker serves. Bounded by the secrets of a fleet, or one. */
  #compactionKeys: readonly string[] = []
  readonly budget: Budget
  readonly #lane: ControlLane
  readonly account: AccountControl
  readonly lessons: SharedLessons
  readonly tokens: LearntTokens
  readonly #keyTrials = new KeyTrialPace(() => this.#config.credentials.newKeysPerMinute)
  readonly keys: KeyControl
  readonly devices: DeviceControl
  readonly sessions = new PanelSessions((message) => this.broadcast(message))
  readonly plan: PlanControl
  readonly #alerts: AlertControl
  readonly #supervisor: Supervisor
  readonly figures: FiguresControl
  readonly #panel: PanelControl
  readonly #oidc: OidcControl
  readonly #watch: NodeJS.Timeout
  readonly #stalls: StallWatch<WorkerChannel>
  readonly #doors: Doors<string>
  readonly #sockets = new SocketPlaces(() => this.#config.webSocket.maxConnections)
  /** Replaces workers one by one without refusing a client or cutting a stream. */
  readonly restartWorkers: () => Promise<void>
  #operations: SettingsOperations | null = null
  #boundPort: number | null = null
  #items: SharedItems | null = null
  readonly #mayServe = Promise.withResolvers<void>()
  readonly #ready = Promise.withResolvers<number>()

  constructor(options: PrimaryOptions) {
    this.#options = options
    this.#config = options.config
    const { config, source, log } = options
    this.budget = new Budget({
      size: { ...config.pool, workers: options.memory.workers },
      send: (member, grant) => {
        if (member === CONTROL) this.#lane.onGrant(grant)
        else this.#channels.get(member)?.send(grant)
      }
    })
    this.figures = new FiguresControl({
      ...options,
      config: () => this.#config,
      channels: this.#channels,
      budget: () => this.budget.state(),
      parts: () => ({
        lane: this.#lane,
        account: this.account,
        keys: this.keys,
        plan: this.plan,
        tokens: this.tokens,
        supervisor: this.#supervisor
      }),
      status: () => this.#status(),
      onVerdict: () => this.#tellStatus()
    })
    this.#lane = new ControlLane(this.budget, config, this.figures.own)
    this.account = new AccountControl({
      config,
      source,
      call: this.#lane.call,
      log,
      onUnusable: options.onFatal,
      onSignIn: (news) => {
        this.#alerts.onSignIn(news)
        if (news.snapshot !== null) this.plan.onSignIn(news.snapshot.token)
        this.figures.onSignIn(news)
        this.tokens.onSignIn()
      },
      onUsage: (aged) => {
        this.plan.onUsage(aged)
        this.figures.dashboard.onUsage(aged.usage)
      },
      tell: (message) => this.#tellAccount(message)
    })
    this.tokens = new LearntTokens({
      stateDir: config.credentials.stateDir,
      account: () => this.account.id,
      tell: (learnt) => this.broadcast({ type: 'calibration.learnt', ...learnt })
    })
    this.lessons = new SharedLessons({
      log,
      tell: (learnt) => this.broadcast(learnt),
      tokens: this.tokens
    })
    this.#alerts = new AlertControl({
      config: () => this.#config,
      usage: () => this.account.usage(),
      signInEndsAt: () => this.account.credentials.endsAt,
      log
    })
    this.plan = new PlanControl({
      config: () => this.#config,
      account: () => this.account.id,
      usage: () => this.account.usage(),
      look: (account, look) => this.keys.book.look(account, look),
      alerts: this.#alerts.sender,
      log,
      tell: (message) => this.#tellAccount(message)
    })
    this.keys = new KeyControl({
      alerts: this.#alerts.sender,
      collect: () => this.figures.collect(),
      onRows: (rows) => {
        this.figures.onRows(rows)
        this.plan.onRows(rows)
      },
      onLost: (requests) => this.figures.onLost(requests),
      onBook: () => this.#tellStatus(),
      stateDir: config.credentials.stateDir,
      config: () => this.#config,
      log,
      sendGrants: (member, grants) =>
        this.#channels.get(member)?.send({ type: 'allowance.grants', grants }),
      onChange: (knownKeys) => {
        this.broadcast({ type: 'keys.changed', knownKeys })
        void this.devices.onKeys() // never rejects
      },
      tellPrice: (lessons) => this.broadcast({ type: 'price.learnt', ...lessons })
    })
    this.devices = new DeviceControl({
      config: () => this.#config,
      knownKeys: () => this.keys.knownKeys,
      tell: (devices) => this.broadcast({ type: 'devices.changed', devices }),
      settled: () => this.#marks.settled(),
      keepAudit: (entry) => this.keys.book.keepAudit(entry),
      log
    })
    this.#panel = new PanelControl({
      keys: this.keys,
      devices: this.devices,
      usageFile: () => this.keys.usageFile(),
      state: () => this.figures.dashboard.state(),
      config: () => this.#config,
      operations: () => this.#operations,
      isSimulated: options.isSimulated,
      signIn: () => this.account.credentials,
      call: this.#lane.call,
      lift: (bar) => this.account.lift(bar),
      judgeAgain: () => this.figures.dashboard.judgeAgain(),
      replaceWorker: (slot) => this.#replaceWorker(slot),
      keepAudit: (entry) => this.keys.book.keepAudit(entry),
      settled: () => this.#marks.settled(),
      log
    })
    this.#oidc = new OidcControl({ config: () => this.#config, log })
    this.#watch = watchQueue({
      state: () => this.budget.state(),
      poolTimeoutMs: () => this.#config.pool.poolTimeoutMs,
      log
    })
    this.#stalls = new StallWatch<WorkerChannel>({
      timeoutMs: () => this.#config.cluster.stallTimeoutMs,
      log,
      onStalled: () => this.figures.own.workerStalls.inc(),
      onChange: () => this.#tellStatus(),
      onBeat: () => {
        for (const [member, channel] of this.#channels)
          this.#doors.onSilence(member, this.#stalls.isLate(channel))
        this.broadcast({ type: 'primary.alive' })
      }
    })
    this.#doors = new Doors(
      (member, isAccepting) =>
        this.#channels.get(member)?.send({ type: 'clients.accept', isAccepting }),
      () => this.#config.cluster.spread === 'packed'
    )
    this.#supervisor = new Supervisor({
      slots: options.memory.workers,
      fork: (id, events) => this.#fork(id, events),
      onChange: (change) => this.#onSlotChange(change),
      retireTimeoutMs: () =>
        this.#config.cluster.drainTimeoutMs + LEAVING.patienceMs + LEAVING.closingMs
    })
    this.restartWorkers = rollingRestart(this.#supervisor, log)
  }

  /** Resolves with the port once every worker listens. @throws {GatewayError} GW_CONFIG_INVALID */
  async start(): Promise<number> {
    const { workerEntry, memory, log, forkLog } = this.#options
    this.budget.logTo(log, this.#config)
    logProxy(log, this.#config.proxy)
    setUpForks(workerEntry, memory, forkLog)
    this.#supervisor.start() // before the credentials are read, as starting a process takes longer
    try {
      await this.#alerts.start()
      this.#compactionKeys = await compactionKeys(this.#config, log)
      await this.sessions.start(this.#config)
      await this.keys.start()
      await this.devices.start()
      await this.tokens.start()
      await this.account.credentials.start()
    } catch (error) {
      this.destroy()
      throw error
    }
    this.#mayServe.resolve()
    this.account.startModels()
    if (this.account.credentials.isExpected) this.plan.start()
    return this.#ready.promise
  }

  /** Cuts no stream: what exceeds a smaller budget ends first. Returns settings that need a restart. @throws {GatewayError} GW_CONFIG_INVALID */
  reload(next: Config): readonly string[] {
    const { log, memory } = this.#options
    const { config, needRestart } = reload(this.#config, next)
    this.#config = config
    if (needRestart.length > 0) log.warn({ needRestart }, 'changed settings that need a restart')
    log.level = config.observe.level
    this.budget.resize(config, memory.workers, log)
    this.#doors.settle()
    this.#lane.onConfig(config)
    this.account.forgive()
    this.plan.reload()
    void this.figures.dashboard.adapt() // never rejects
    this.broadcast({ type: 'config.changed', config: toWorkerConfig(config) })
    void this.devices.onKeys() // never rejects
    log.info('settings reloaded')
    return needRestart
  }

  /** Reads the settings again as SIGHUP asks, and writes down what came of it. Resolves with that; never rejects. */
  async reloadOnSignal(operations: Pick<SettingsOperations, 'reload'>): Promise<void> {
    const { log } = this.#options
    const before = this.#config
    let reason: string | null = null
    try {
      operations.reload()
    } catch (err) {
      reason = messageOf(err)
      log.error({ err }, 'settings cannot be reloaded, nothing was changed')
    }
    const after = this.#config
    try {
      const { failedReload, reloadChange, SIGNAL } = await import('./panel/reload-change.ts')
      const { noteChange } = await import('./panel/audit-note.ts')
      const change = reason === null ? reloadChange(before, after) : failedReload(reason)
      await noteChange({ keep: (entry) => this.keys.book.keepAudit(entry), log }, SIGNAL, change)
    } catch (err) {
      log.error({ err }, 'the reload cannot be written into the audit log')
    }
  }

  operate(operations: SettingsOperations): void {
    this.#operations = operations
  }

  /** Lets streams end; resolves when all is closed. Kills workers that are stuck some seconds after `DRAIN_TIMEOUT`. */
  async drain(): Promise<void> {
    const { drainDelayMs } = this.#config.cluster
    await this.#supervisor.announceEnd(drainDelayMs, () => this.#tellStatus())
    this.plan.close()
    this.account.drain()
    const patienceMs = this.#config.cluster.drainTimeoutMs + LEAVING.closingMs
    const timer = setTimeout(() => this.#supervisor.killStuck(this.#options.log), patienceMs)
    await this.#supervisor.drain()
    clearTimeout(timer)
    this.#panel.close()
    this.devices.close()
    await this.keys.close()
    await this.tokens.close()
    await this.#alerts.close()
    await this.#oidc.close()
    await this.account.close()
    await this.#lane.close()
    clearInterval(this.#watch)
    this.#stalls.close()
    this.figures.close()
  }

  /** Running requests, and their longest time after a drain has begun. Never rejects. */
  async running(): Promise<{ readonly requests: number; readonly longestMs: number }> {
    const { drainDelayMs, drainTimeoutMs } = this.#config.cluster
    return { requests: await this.figures.inFlight(), longestMs: drainDelayMs + drainTimeoutMs }
  }

  /** Takes the stored answers of a fleet: workers' questions about some go to these, to none with `null`. */
  shareItems(items: SharedItems | null): void {
    this.#items = items
  }

  destroy(): void {
    this.#supervisor.destroy()
  }

  #fork(id: number, events: WorkerEvents): WorkerChannel {
    const channel = new WorkerChannel({
      id,
      env: childEnvironment(),
      events,
      patienceMs: LEAVING.patienceMs,
      onMessage: (message) => this.#onMessage(channel, message, events),
      onStderr: this.#options.onStderr,
      onRetire: () => {
        this.#doors.onLeft(channel.member)
        this.budget.record({ type: 'retire', member: channel.member })
      },
      onExit: () => this.#onExit(channel)
    })
    this.#channels.set(channel.member, channel)
    this.#stalls.add(channel)
    this.figures.onJoined(channel.member)
    return channel
  }

  #onMessage(channel: WorkerChannel, message: FromWorker, events: WorkerEvents): void {
    this.#stalls.heard(channel)
    switch (message.type) {
      case 'worker.alive':
        channel.isDebugged = message.isDebugged
        break
      case 'worker.hello':
        void this.#mayServe.promise.then(() => this.#letServe(channel)) // never rejects
        break
      case 'worker.ready':
        events.onReady()
        this.#doors.onReady(channel.member)
        this.#boundPort = message.port
        if (this.#supervisor.areAllReady()) this.#ready.resolve(message.port)
        break
      case 'worker.failed':
        this.#options.log.error(
          { workerId: channel.id, reason: message.message },
          'worker cannot serve'
        )
        this.#ready.reject(new GatewayError('GW_CONFIG_INVALID', undefined, message))
        break
      case 'sockets.open':
        if (this.#isServing(channel)) this.#sockets.note(channel.member, message.open)
        break
      case 'clients.full':
      case 'clients.load':
      case 'clients.accepting':
        this.#doors.onMessage(channel.member, message)
        break
      case 'lease.report':
        this.budget.record({ type: 'report', member: channel.member, report: message })
        break
      case 'usage.rows':
        this.#doors.onAnswers(channel.member, message.rows.length)
        this.keys.onMessage(message, {
          channel,
          isGone: !this.#isServing(channel)
        })
        break
      case 'allowance.reports':
      case 'price.lessons':
        this.keys.onMessage(message, {
          channel,
          isGone: !this.#isServing(channel)
        })
        break
      case 'credential.suspended':
      case 'account.refused':
        this.account.onMessage(message)
        break
      case 'asked': {
        const { requestId, question } = message
        void this.#answerTo(question, channel) // never rejects
          .then((answer) => channel.send({ type: 'answered', requestId, answer }))
        break
      }
      case 'calibration.lesson':
      case 'form.lesson':
      case 'conversation.lesson':
      case 'kiro-key.lesson':
        this.lessons.onLesson(message)
        break
      case 'items.made':
        this.#items?.share(message.name)
        break
      case 'metrics.snapshot':
      case 'dashboard.wish':
        this.figures.onMessage(message, channel)
        break
      case 'told.marked':
        this.#marks.onMarked(channel.member, message.mark)
        break
    }
  }

  async #answerTo(
    question: WorkerQuestion,
    channel: WorkerChannel
  ): Promise<Answers[keyof Answers]> {
    switch (question.type) {
      case 'credential.refused':
        await this.account.credentials.refused(question.token)
        return null
      case 'credential.wanted':
        await this.account.credentials.wanted()
        return null
      case 'kiro-key.try':
        return this.#keyTrials.take()
      case 'socket-place.wanted':
        return this.#isServing(channel) && this.#sockets.take(channel.member, question.open)
      case 'metrics.wanted':
        return this.figures.text()
      case 'key-usage.wanted':
        return this.keys.usageOf(question.key)
      case 'usage.wanted':
        return this.plan.usage()
      case 'items.wanted':
        return this.#items === null ? 'valkey' : this.#items.fetch(question.names)
      case 'panel.call':
        return this.#panel.answer(question.call)
      case 'oidc.call':
        return this.#oidc.answer(question.call)
      case 'device.call':
        return this.devices.answer(question.call)
      case 'session.end':
        this.sessions.end(question.ended)
        await this.#marks.settled()
        return null
    }
  }

  /** False for a worker that has died: what it is given would be lost. */
  #isServing(channel: WorkerChannel): boolean {
    return this.#channels.get(channel.member) === channel
  }

  #letServe(channel: WorkerChannel): void {
    if (!this.#isServing(channel)) return // its lease would never come back
    const { isSimulated, memory } = this.#options
    channel.send({
      type: 'worker.start',
      workerId: channel.id,
      config: toWorkerConfig(this.#config),
      boundPort: this.#boundPort,
      ...this.account.forWorker(),
      planBar: this.plan.bar,
      planStanding: this.plan.standing,
      knownKeys: this.keys.knownKeys,
      devices: this.devices.news,
      isSimulated,
      sessionSecret: this.sessions.secret,
      compactionKeys: this.#compactionKeys,
      endedSessions: this.sessions.ended,
      memory,
      status: this.#status()
    })
    for (const learnt of this.lessons.all()) channel.send(learnt)
    for (const price of this.keys.prices()) channel.send({ type: 'price.learnt', ...price })
    this.budget.record({ type: 'join', member: channel.member, slot: channel.id - 1 })
  }

  /** Has a successor take its place; false unless the worker is ready. */
  #replaceWorker(slot: number): boolean {
    const found = this.#supervisor.states().find(({ id }) => id === slot)
    if (found?.state.name !== 'ready') return false
    void this.#supervisor.replace(slot) // cannot reject
    return true
  }

  #onExit(channel: WorkerChannel): void {
    this.#channels.delete(channel.member)
    this.#marks.onLeft(channel.member)
    this.keys.onLeft(channel.member, channel.id)
    this.#doors.onLeft(channel.member)
    this.#sockets.onLeft(channel.member)
    this.#stalls.remove(channel)
    this.figures.onLeft(channel.member)
    this.budget.record({ type: 'stopped', member: channel.member })
    const { log } = this.#options
    void freePermits(channel, { config: this.#config, budget: this.budget, log }) // never rejects
  }

  #onSlotChange(change: SlotChange): void {
    if (hasDied(change)) this.figures.onDied(change.id)
    logSlotChange(this.#options.log, change)
    this.figures.tellVerdict()
  }

  broadcast(message: ToWorker): void {
    for (const channel of this.#channels.values()) channel.send(message)
  }

  #tellAccount(message: ToWorker): void {
    this.broadcast(message)
    if (message.type !== 'catalogue.changed' && message.type !== 'credential.changed')
      this.figures.tellVerdict()
  }

  #tellStatus(): void {
    const status = this.#status()
    this.#alerts.onStatus(status)
    this.broadcast({ type: 'cluster.status', status })
  }

  #status(): ClusterStatus {
    const status = this.#supervisor.status((pid) => this.#stalls.isSuspect(pid))
    const { bookProblem } = this.keys
    const { failing, dashboard } = this.figures
    const { verdict } = dashboard
    return {
      ...status,
      ...(bookProblem !== null && { bookProblem }),
      ...(failing !== null && { failing }),
      ...(verdict !== null && { verdict: { level: verdict.level, code: verdict.code } })
    }
  }
}
