import { reserveOf } from '../../src/control/budget/ledger-entry.ts'
import { shapeDeltas } from '../../src/simulator/spoken-text.ts'
import { WISHED_FAULTS } from './agents.ts'
import type { Character } from './character.ts'
import { type Ask, type Outcome, saidOf } from './client.ts'
import type { WorldFleet } from './fleet.ts'
import { WorldKeys } from './keys.ts'
import { isGatewayPort, UPSTREAM_PORT, type WorldGateway } from './gateway.ts'
import type { Link, Network } from './network.ts'
import { WorldSignIn } from './sign-in.ts'
import { Touches } from './touches.ts'
import type { WorldUpstream } from './upstream.ts'
import { type Actor, Violation, type World } from './world.ts'

/** How often it is looked for requests that wait beside something free. Virtual ms, as all below. */
const LOOK_MS = 250
/** So long something may be free beside a request that waits: for messages, and for a peer that answers a FIN. */
const FREE_FOR_MS = 1_500
/** Between gateways of a fleet it takes longer: it is asked of the other by way of Valkey. */
const SPARE_FOR_MS = 6_000
/** A request that takes longer stands still: every wait of the gateway ends sooner in these worlds. */
const LONGEST_MS = 30 * 60_000
/** A budget that shrinks is in force for all workers after so long. */
const RESIZE_MS = 2_000

const MINUTE_MS = 60_000
/** After a client has left, its call is over within so long, which is a long way there and back. */
const LET_GO_MS = 3_000
/** So much longer, where the gateway may read on to learn what an answer of its kind costs (`meter-readings.ts`). */
const READ_ON_MS = 300_000
/** Wished faults that another attempt may mend, and the attempts that are made. */
const ATTEMPTS_OF: Readonly<Record<string, number>> = {
  'sim:flaky=1': 2,
  'sim:reset-first': 3,
  'sim:overloaded': 3,
  'sim:unavailable': 3
}

/** Wished faults that come in the answer itself, behind the first half of its text. */
const SAID_IN_THE_MIDDLE = ['sim:exception-mid', 'sim:error-mid', 'sim:corrupt']
/** A connection that was lost in silence is found out 25 s after the last that was heard on it. */
const NOTICED_MS = 27_000

/** Until a request has reached its worker, is read and converted, and its refusal is on its way. */
const LATE_MS = 10_000
/** A question may be sent once more at once, on another connection, if its first one had been closed. */
const MOST_AT_ONCE = 2
/** An answer reaches the upstream's end of it, and a refusal its client, within so long. */
const ON_THE_WAY_MS = 1_000
/** Of answers that are shorter, or in fewer pieces, nobody sees how they come. */
const SEEN_MS = 1_000
const SEEN_PIECES = 6
/** `UPSTREAM_MAX_ATTEMPTS`. */
const MOST_ATTEMPTS = 3

/** Gauges of `GET /metrics`, without the prefix of their names, that say what is under way. */
const ZERO_IN_QUIET = [
  'requests_in_flight',
  'worker_permits_in_use',
  'pool_permits_in_use',
  'pool_waiters',
  'gated_requests',
  'transform_jobs',
  'admitted_bytes',
  'admitted_lane_bytes'
]
/** For what is set up with the first request and stays, and for a connection that was used a moment ago. */
const MORE_TIMERS = 3

/** Of a worker with its primary, less one of the signs that it waits for (`primary-pulse.ts`). */
const PRIMARY_PATIENCE_MS = 4_000
const PRIMARY_SILENT = /primary process does not respond/

/** How a request begins. */
const REQUEST = /^(?:GET|POST) /
/** In the words of each dialect. */
const POOL_TIMEOUT = /PoolTimeout/

interface Told {
  readonly config: object | null
  readonly unleased: number
}

interface Fresh {
  readonly primary: number
  readonly worker: number
}

interface Open {
  readonly ask: Ask
  readonly at: number
  /** Ms that the upstream was busy with it. */
  busyMs: number
  /** Under which the upstream knows it; `undefined` before. */
  invocation?: unknown
}

export interface RuleOptions {
  readonly world: World
  readonly network: Network
  readonly gateways: readonly WorldGateway[]
  /** `null` where the gateway is alone. */
  readonly fleet: WorldFleet | null
  readonly upstream: WorldUpstream
  readonly character: Character
  /** Connections at most, instead of the configured ones. */
  readonly expected?: number | undefined
}

/** What must always hold, looked at while the world goes on (`docs/design/architecture.md` §5). */
export class Rules {
  readonly counts: Record<Outcome['end'], number> = {
    whole: 0,
    'cut short': 0,
    error: 0,
    broken: 0,
    left: 0
  }
  readonly #options: RuleOptions
  readonly #open = new Map<number, Open>()
  /** `HTTP_POOL_TIMEOUT` in ms. */
  readonly #poolTimeoutMs: number
  /** Virtual ms that a request may wait for a connection. */
  readonly #longestWaitMs: number
  readonly touches: Touches
  readonly keys: WorldKeys
  readonly signIn: WorldSignIn
  /** Since when something is free beside a request that waits, by gateway, or in another one of the fleet. */
  readonly #freeSince = new Map<WorldGateway | 'elsewhere', number>()
  /** Since when more requests wait than clients; `null` if it is not so. */
  #leftSince: number | null = null
  #isLooking = false
  readonly #freshTimers = new Map<WorldGateway, Fresh>()
  #budget: { readonly most: number; readonly since: number; readonly before: number }
  /** What each ledger said last, with the settings of then. */
  readonly #ledgers = new Map<WorldGateway, Told>()

  constructor(options: RuleOptions) {
    this.#options = options
    const most = options.character.maxConnections
    this.#budget = { most, since: -Infinity, before: most }
    const { HTTP_POOL_TIMEOUT: wait } = options.character.env
    this.#poolTimeoutMs = wait === 'none' ? Infinity : Number(wait) * 1_000
    this.#longestWaitMs = this.#poolTimeoutMs + LATE_MS
    const { world, character } = options
    this.keys = new WorldKeys(world, character, options)
    this.signIn = new WorldSignIn(world, character.signIn, options)
    options.upstream.onPresented = (token) => this.signIn.onPresented(token)
    options.upstream.onAsked = (ask, invocation) => {
      this.keys.onAsked(ask)
      this.#checkInvocation(ask, invocation)
    }
    options.upstream.onOver = (ask, busyMs) => {
      const open = this.#open.get(ask)
      if (open !== undefined) open.busyMs += busyMs
    }
    options.upstream.onMetered = (ask, credits) => this.keys.onMetered(ask, credits)
    this.touches = new Touches({
      ...options,
      isOpen: (ask) => this.#open.has(ask),
      onAttempt: (ask, attempt) => this.#checkAttempts(ask, attempt),
      onSentAtOnce: (ask, times) => this.#checkPace(ask, times),
      onHang: ({ name }) => this.#refuse(`${name} stood still for long, and was not killed`)
    })
    options.network.onVanished = (link) => this.#lookWhetherItIsNoticed(link)
    for (const gateway of options.gateways)
      gateway.onKilled = (worker) => {
        this.keys.onDeath()
        if (!this.touches.onDeath(worker))
          this.#refuse(`${worker.name} is killed, and it did nothing wrong`)
      }
    for (const gateway of options.gateways) gateway.onReport = () => this.#checkCovered(gateway)
    options.network.onSentAfterEnd = ({ port, client }, bytes) => {
      if (port === UPSTREAM_PORT && REQUEST.test(bytes.toString('latin1', 0, 8)))
        this.#refuse(`:${client.localPort} was used again although the upstream had ended it`)
    }
    options.network.onConnection = (port) => {
      if (port === UPSTREAM_PORT) this.#onConnection()
    }
  }

  get waiting(): number {
    return this.#open.size
  }

  onAsk(ask: Ask): void {
    this.keys.onAsk(ask)
    this.#open.set(ask.id, { ask, at: this.#options.world.now, busyMs: 0 })
    if (!this.#isLooking) this.#look()
  }

  onOutcome(ask: Ask, outcome: Outcome): void {
    const open = this.#open.get(ask.id)
    this.#open.delete(ask.id)
    this.counts[outcome.end] += 1
    if (open === undefined) return this.#refuse(`ask-${ask.id} ended twice`)
    if (outcome.end === 'left') this.#lookWhetherItIsLetGo(ask)
    this.keys.onOutcome(ask, outcome)
    const problem = this.#problemOf(open, outcome)
    const causes = this.touches.causesOf(ask.id)
    this.touches.forget(ask.id)
    if (problem === null) return
    const { dialect, isStreamed, words } = ask
    const facts = JSON.stringify({ dialect, isStreamed, words, status: outcome.status, causes })
    this.#refuse(
      `ask-${ask.id}: ${problem}\n  ${facts}\n  asked: ${ask.text}\n  got: ${outcome.text}\n  ${outcome.body.slice(-600)}`
    )
  }

  #problemOf(open: Open, outcome: Outcome): string | null {
    const { ask } = open
    const { end, status, text, body } = outcome
    if (end === 'left') return null
    if (!ask.text.startsWith(text)) return 'the client got something that the upstream has not said'
    const harm = this.touches.harmOf(ask.id)
    switch (end) {
      case 'whole':
        if (text !== ask.text) return 'the answer looks whole, and is not'
        return this.#cameAtOnce(open, outcome) ? 'what was said came late' : null
      case 'cut short':
        if (ask.words === 'sim:no-end') return null
        return text === ask.text
          ? 'a whole answer is called cut short'
          : 'an answer that broke is called cut short'
      case 'error':
        if (this.keys.mayRefuse(ask, status) || this.#mayBeLate(open, body)) return null
        if (this.#options.fleet?.mayNotServe(ask.port, body) === true) return null
        if (this.#hasSilentPrimary(ask, body)) return null
        if (this.#wasGivenUp(ask, outcome)) return 'it was given up although it could be sent again'
        if (harm !== 'none') return null
        if (!WISHED_FAULTS.includes(ask.words)) return 'it failed, and nothing was wrong'
        return isAsFarAsSaid(ask, text) ? null : 'what was said before its failure is missing'
      case 'broken':
        return harm === 'broken' ? null : 'the answer broke off without an error'
    }
  }

  /** Two pauses of the primary, one in the other, may be one that its workers tell their clients of. */
  #hasSilentPrimary({ port }: Ask, body: string): boolean {
    const gateway = this.#options.gateways.find((one) => one.port === port)
    if (gateway === undefined || !PRIMARY_SILENT.test(body)) return false
    return this.touches.stoodStillFor(gateway.primaryActor) >= PRIMARY_PATIENCE_MS
  }

  /** A failure that another attempt mends gets one, unless many were made lately. */
  #wasGivenUp({ id, words }: Ask, { text }: Outcome): boolean {
    const attempts = ATTEMPTS_OF[words]
    if (attempts === undefined || text !== '') return false
    if (this.touches.harmOf(id) !== 'none') return false
    const { workers } = this.#options.character
    const mayBeSpent = this.touches.sentAgainWithin(MINUTE_MS) + 1 > 10 / workers
    return this.touches.timesSent(id) < attempts && !mayBeSpent
  }

  /** One is enough unless something fails before the first byte. A token that was refused costs another one. */
  #checkAttempts(ask: number, attempt: number): void {
    const words = this.#open.get(ask)?.ask.words ?? ''
    const mayFail = WISHED_FAULTS.includes(words) && !SAID_IN_THE_MIDDLE.includes(words)
    const most = (mayFail ? MOST_ATTEMPTS : 1) + (this.#options.character.signIn === null ? 0 : 1)
    if (attempt > most) this.#refuse(`ask-${ask} is attempted ${attempt} times, and ${most} may be`)
  }

  /** The call of a client that has left ends at once, unless something stands still. */
  #lookWhetherItIsLetGo(ask: Ask): void {
    const { id } = ask
    const { world, network, upstream } = this.#options
    const waitMs = LET_GO_MS + (this.keys.hasCredits(ask) ? READ_ON_MS : 0)
    const look = (): void => {
      if (this.touches.pausedUntil > world.now - waitMs) return
      for (const { port, client, server, isVanished } of network.links)
        if (port === UPSTREAM_PORT && client.carries === id && server !== null && !isVanished)
          if (upstream.busy.has(server) && !client.isGone)
            this.#refuse(`ask-${id} has left, and the upstream still answers it`)
    }
    world.after(waitMs, look, { actor: world.nature })
  }

  /** A connection to the upstream that was lost in silence is not kept for ever. */
  #lookWhetherItIsNoticed({ port, client }: Link): void {
    if (port !== UPSTREAM_PORT) return
    const { world } = this.#options
    const { now } = world
    const look = (): void => {
      if (client.isGone || this.touches.pausedUntil > now) return
      this.#refuse(`:${client.localPort} vanished at ${now.toFixed(3)}, and is still open`)
    }
    world.after(NOTICED_MS, look, { actor: world.nature })
  }

  /** Waits for a connection may be limited. The time that the upstream was busy with the request is none. */
  #mayBeLate({ ask, at, busyMs }: Open, body: string): boolean {
    if (!POOL_TIMEOUT.test(body)) return false
    const isUneven = this.touches.harmOf(ask.id) !== 'none' || this.touches.pausedUntil > at
    const waitedMs = this.#options.world.now - at - (isUneven ? 0 : busyMs)
    return waitedMs + ON_THE_WAY_MS >= this.#poolTimeoutMs
  }

  /** Whether most of a streamed answer came in one piece, although the upstream had said it bit by bit. */
  #cameAtOnce({ ask, at }: Open, { flow }: Outcome): boolean {
    const { isStreamed, words, restsMs, text, id } = ask
    if (!isStreamed || flow === null || WISHED_FAULTS.includes(words) || restsMs > 0) return false
    if (this.touches.harmOf(id) !== 'none' || this.touches.pausedUntil > at) return false
    const pieces = [...shapeDeltas(saidOf(text), { events: undefined, size: undefined })].length
    const isSeen = pieces >= SEEN_PIECES && flow.lastedMs >= SEEN_MS
    return isSeen && flow.longestSilenceMs > flow.lastedMs / 2
  }

  /** The upstream must know a question that is sent again, or it would have it answered and paid twice. */
  #checkInvocation(id: number, invocation: unknown): void {
    const open = this.#open.get(id)
    if (open === undefined) return
    const before = open.invocation
    open.invocation = invocation
    // On a WebSocket clients ask again by themselves.
    if (before === undefined || before === invocation || open.ask.isOnSocket) return
    if (this.touches.harmOf(id) === 'none')
      this.#refuse(`ask-${id} is sent again, and the upstream cannot know it`)
  }

  /** Between two attempts there is a pause. Another token is tried at once. */
  #checkPace(ask: number, times: number): void {
    const most = MOST_AT_ONCE * (this.#options.character.signIn === null ? 1 : 2)
    if (times > most) this.#refuse(`ask-${ask} is sent ${times} times without a pause`)
  }

  #onConnection(): void {
    const { world, network, gateways, expected } = this.#options
    for (const gateway of gateways) {
      this.#checkLedger(gateway)
      this.#checkCovered(gateway)
    }
    const open = network.openAt(UPSTREAM_PORT)
    const limits = gateways.map(({ config }) => config.pool.maxConnections ?? Infinity)
    const most = expected ?? Math.min(...limits)
    const leased = gateways.reduce((sum, one) => sum + one.leased, 0)
    if (most !== this.#budget.most) {
      // A fleet that has no contact with Valkey may not have come to the one before.
      const before = Math.max(open, this.#budget.most, gateways.length > 1 ? leased : 0)
      this.#budget = { most, since: world.now, before: expected ?? before }
    }
    const { since, before } = this.#budget
    // What exceeds a smaller budget ends first; until all workers know of it, they may use what they have.
    const isSettled = world.now - since > RESIZE_MS
    const allowed = Math.max(most, isSettled ? Math.min(leased, before) : before)
    if (open > allowed)
      this.#refuse(`the upstream has ${open} connections, and ${allowed} are allowed`)
    if (gateways.length > 1 && leased > Math.max(most, before))
      this.#refuse(`${leased} permits are leased in the fleet, and there are ${most}`)
  }

  /** Each connection that the upstream counts has a permit, until the upstream has let go of it. */
  #checkCovered(gateway: WorldGateway): void {
    if (!gateway.isServing) return
    const { members, maxConnections } = gateway.primary.budget.state()
    if (maxConnections === null) return
    const actors = [gateway.primaryActor, ...gateway.workers().map(({ actor }) => actor)]
    for (const actor of actors) {
      const end = actor === gateway.primaryActor ? 'control' : ` pid ${actor.pid}`
      const leased = members.find(({ member }) => member.endsWith(end))?.leased ?? 0
      const open = this.#options.network.openOf(actor, UPSTREAM_PORT)
      if (open > leased)
        this.#refuse(`${actor.name} has ${open} connections to the upstream, and ${leased} permits`)
    }
  }

  /** More may be leased than there is after the budget has shrunk, and then it gets less and less. */
  #checkLedger(gateway: WorldGateway): void {
    if (gateway.isInFleet || !gateway.isServing) return // its part of a fleet goes up and down
    const { primary, config } = gateway
    const unleased = primary.budget.state().unleased ?? 0
    const told: Told = this.#ledgers.get(gateway) ?? { config: null, unleased: 0 }
    const { config: configBefore, unleased: before } = told
    this.#ledgers.set(gateway, { config, unleased })
    if (config === configBefore && unleased < Math.min(0, before))
      this.#refuse(`${-unleased} permits are leased that the budget does not have`)
  }

  /** Looks again and again while requests are open. */
  #look(): void {
    const { world } = this.#options
    this.#isLooking = this.#open.size > 0
    if (!this.#isLooking) return this.#freeSince.clear()
    const look = (): void => {
      this.#lookAtWaiting()
      this.#look()
    }
    world.after(LOOK_MS, look, { actor: world.nature })
  }

  #lookAtWaiting(): void {
    const { world, gateways } = this.#options
    for (const gateway of gateways) this.#checkLedger(gateway)
    for (const { ask, at } of this.#open.values())
      if (world.now - at > LONGEST_MS)
        this.#refuse(`ask-${ask.id} has not ended since ${at.toFixed(3)}`)
      else if (world.now - at > this.#longestWaitMs) this.#checkWait(ask, at)
    this.#checkWaiters()
    for (const gateway of gateways)
      this.#noteFree(gateway, this.#freeBesideWaiting(gateway), FREE_FOR_MS)
    this.#noteFree('elsewhere', this.#spareElsewhere(), SPARE_FOR_MS)
  }

  #noteFree(where: WorldGateway | 'elsewhere', free: string | null, longestMs: number): void {
    const { now } = this.#options.world
    if (free === null) return void this.#freeSince.delete(where)
    const since = this.#freeSince.get(where) ?? now
    this.#freeSince.set(where, since)
    if (now - since > longestMs)
      this.#refuse(`a request waits although ${free}, since ${since.toFixed(3)}`)
  }

  /** What a gateway of a fleet has to give while requests wait at another one; `null` if there is none. */
  #spareElsewhere(): string | null {
    const { fleet, gateways, upstream } = this.#options
    if (fleet === null || !fleet.isCalm() || upstream.actor.isPaused) return null
    const most = Math.min(...gateways.map(({ config }) => config.pool.maxConnections ?? Infinity))
    for (const gateway of gateways) {
      const others = gateways.filter((one) => one !== gateway)
      if (!others.some(({ primary }) => primary.budget.state().waiting > 0)) continue
      const { members, unleased, waiting } = gateway.primary.budget.state()
      if (waiting > 0) continue
      const actors = new Set(gateway.workers().map(({ actor }) => actor))
      const isDead = ({ member }: { readonly member: string }): boolean =>
        / pid \d+$/.test(member) && ![...actors].some(({ pid }) => member.endsWith(` pid ${pid}`))
      let leased = Math.max(0, unleased ?? 0)
      // What a dead one left behind is not idle while the kernel may have a connection of it.
      for (const one of members) if (!isDead(one)) leased += one.leased ?? 0
      const reserve = reserveOf({ ...gateway.config.pool, workers: actors.size })
      const idle = leased - reserve - this.#usedBy(actors)
      const spare = fleet.spareOf(idle, most)
      if (spare > 0) return `gateway ${gateway.name} has ${spare} connections to spare`
    }
    return null
  }

  /** Connections to the upstream that these processes have, and that are not idle. */
  #usedBy(actors: ReadonlySet<Actor>): number {
    const { network, upstream } = this.#options
    let used = 0
    for (const link of network.links) {
      const { port, client, server } = link
      if (port !== UPSTREAM_PORT || !actors.has(client.actor)) continue
      if (server === null || upstream.busy.has(server) || !link.isQuiet) used += 1
    }
    return used
  }

  /** A request that no fault has met is sent to the upstream within HTTP_POOL_TIMEOUT, or refused. */
  #checkWait({ id, isOnSocket, key }: Ask, at: number): void {
    const { character, fleet } = this.#options
    if (fleet !== null) return // clients go on at the other gateway
    const mayWaitForOthers = key !== null && character.keys[key]?.maxStreams !== null
    if (isOnSocket || mayWaitForOthers || this.touches.timesSent(id) > 0) return
    if (this.touches.harmOf(id) !== 'none' || this.touches.pausedUntil > at) return
    this.#refuse(`ask-${id} waits since ${at.toFixed(3)}, longer than HTTP_POOL_TIMEOUT`)
  }

  /** Nobody waits in a worker for a client that has left: fewer wait than there are clients that the upstream does not answer. */
  #checkWaiters(): void {
    const { world, gateways, fleet } = this.#options
    const [gateway] = gateways
    if (fleet !== null || gateway === undefined || !gateway.isServing) return
    const { members } = gateway.primary.budget.state()
    const pids = new Set(gateway.workers().map(({ actor }) => ` pid ${actor.pid}`))
    let waiting = 0
    for (const one of members)
      if (pids.has(one.member.slice(one.member.lastIndexOf(' pid ')))) waiting += one.waiting
    const clients = waiting === 0 ? 0 : this.#open.size - this.#answered()
    const isSteady = world.now - this.touches.pausedUntil > FREE_FOR_MS
    if (waiting <= clients || !isSteady) this.#leftSince = null
    else this.#leftSince ??= world.now
    if (this.#leftSince !== null && world.now - this.#leftSince > FREE_FOR_MS)
      this.#refuse(`${waiting} requests wait, and ${clients} clients do`)
  }

  /** Open questions that the upstream answers now. */
  #answered(): number {
    const { network, upstream } = this.#options
    const asks = new Set<number>()
    for (const { port, client, server, isVanished } of network.links) {
      if (port !== UPSTREAM_PORT || client.carries === null || server === null) continue
      const isAnswered = !isVanished && !client.isGone && upstream.busy.has(server)
      if (isAnswered && this.#open.has(client.carries)) asks.add(client.carries)
    }
    return asks.size
  }

  /** What is free while a request waits for it; `null` if there is no such request, or nothing is free. */
  #freeBesideWaiting(gateway: WorldGateway): string | null {
    const { upstream } = this.#options
    if (!gateway.isServing) return null
    const state = gateway.primary.budget.state()
    if (state.waiting === 0 || state.maxConnections === null) return null
    const workers = gateway.workers()
    const actors = [upstream.actor, gateway.primaryActor, ...workers.map(({ actor }) => actor)]
    if (actors.some(({ isPaused }) => isPaused)) return null // permits go from worker to worker by way of the primary
    const { maxConnections } = state
    const size = { ...gateway.config.pool, maxConnections, workers: workers.length }
    const reserve = reserveOf(size)
    const control = state.members.find(({ member }) => member === 'control')?.leased ?? 0
    const free = (state.unleased ?? 0) - Math.max(0, reserve - control)
    if (free > 0) return `${free} of the budget are leased to nobody`
    for (const { actor } of workers) {
      const member = state.members.find((one) => one.member.endsWith(` pid ${actor.pid}`))
      if (member === undefined) continue
      const idle = (member.leased ?? 0) - this.#usedBy(new Set([actor]))
      if (idle > 0 && member.waiting < state.waiting)
        return `${member.member} has ${idle} permits without use`
    }
    return null
  }

  /** When all have left: nothing is open, waits or is held. */
  checkQuiet(): void {
    const { upstream, gateways, fleet } = this.#options
    if (this.#open.size > 0) this.#refuse(`${this.#open.size} requests have not ended`)
    const busy = upstream.reachable(upstream.busy)
    if (busy > 0) this.#refuse(`the upstream still answers ${busy} requests`)
    for (const gateway of gateways) this.#checkBudget(gateway)
    this.#checkIdle()
    this.signIn.checkFresh()
    if (fleet === null) return
    const most = Math.min(...gateways.map(({ config }) => config.pool.maxConnections ?? Infinity))
    const sizes = gateways.map(({ primary }) => primary.budget.state().maxConnections ?? 0)
    const all = sizes.reduce((sum, size) => sum + size, 0)
    if (all !== most)
      this.#refuse(`the gateways have ${sizes.join(' and ')} of ${most} connections`)
  }

  #checkBudget(gateway: WorldGateway): void {
    const { waiting, members, maxConnections, unleased } = gateway.primary.budget.state()
    const configured = gateway.config.pool.maxConnections
    if (!gateway.isInFleet && maxConnections !== configured)
      this.#refuse(`the budget is ${maxConnections}, and ${configured} are configured`)
    if (waiting > 0) this.#refuse(`${waiting} requests wait in a world without clients`)
    const leased = members.reduce((sum, one) => sum + (one.leased ?? 0), 0)
    if (maxConnections !== null && leased + (unleased ?? 0) !== maxConnections)
      this.#refuse(`${leased} leased and ${unleased} free are not ${maxConnections}`)
    if (unleased !== null && unleased < 0)
      this.#refuse(`${-unleased} permits were never returned after the budget had shrunk`)
  }

  /** No connection and no timer more than at first. */
  #checkIdle(): void {
    const { network, character, gateways } = this.#options
    const links = [...network.links].filter(({ isVanished }) => !isVanished)
    const ofClients = links.filter(({ port }) => isGatewayPort(port))
    if (ofClients.length > 0) this.#refuse(`${ofClients.length} connections of clients are left`)
    const primaries = new Set(gateways.map(({ primaryActor }) => primaryActor))
    const isKept = ({ client }: Link): boolean =>
      character.signIn !== null && primaries.has(client.actor) // of the last renewal
    const idle = links.filter((link) => link.port === UPSTREAM_PORT && !isKept(link)).length
    if (character.env['HTTP_KEEPALIVE_EXPIRY'] !== 'none' && idle > 0)
      this.#refuse(`${idle} connections to the upstream never expire`)
    for (const gateway of gateways) {
      const [timers, fresh] = [this.#timers(gateway), this.#freshTimers.get(gateway)]
      for (const kind of ['primary', 'worker'] as const)
        if (timers[kind] > (fresh?.[kind] ?? 0) + MORE_TIMERS)
          this.#refuse(`the ${kind} has ${timers[kind]} timers, and had ${fresh?.[kind]} at first`)
    }
  }

  #timers(gateway: WorldGateway): Fresh {
    const ofWorkers = gateway.workers().map(({ actor }) => timersOf(actor))
    return { primary: timersOf(gateway.primaryActor), worker: Math.max(0, ...ofWorkers) }
  }

  /** What a gateway has that nobody has asked yet, as the measure of one that is idle again. */
  noteFresh(): void {
    for (const gateway of this.#options.gateways)
      this.#freshTimers.set(gateway, this.#timers(gateway))
  }

  /** What the gateway itself says that is under way in it, when all have left. */
  checkGauges(gauges: ReadonlyMap<string, number>): void {
    for (const name of ZERO_IN_QUIET) {
      const value = gauges.get(`kiro_gateway_${name}`)
      if (value !== 0) this.#refuse(`${name} is ${value} in a world without clients`)
    }
  }

  /** When the gateway has ended: no connection, process or timer is left of it. */
  checkEnded(): void {
    const { network, gateways, upstream } = this.#options
    const workers = gateways.flatMap((gateway) => gateway.workers())
    if (workers.length > 0) this.#refuse(`${workers.length} workers are left`)
    if (upstream.reachable(upstream.open) > 0)
      this.#refuse(`${upstream.reachable(upstream.open)} connections to the upstream are left`)
    const links = [...network.links].filter(({ isVanished }) => !isVanished)
    if (links.length > 0) this.#refuse(`${links.length} connections are left`)
    const all = gateways.flatMap(({ primaryActor }) => primaryActor.queue.all())
    const timers = all.filter(({ isHolding }) => isHolding)
    if (timers.length > 0) this.#refuse(`${timers.length} timers of the primary are left`)
  }

  #refuse(problem: string): void {
    this.#options.world.fail(new Violation(problem))
  }
}

/** Whether a stream that fails as its question wished has all that the upstream said before. */
function isAsFarAsSaid({ words, isStreamed, text }: Ask, got: string): boolean {
  if (!isStreamed || !SAID_IN_THE_MIDDLE.includes(words)) return true
  const deltas = [...shapeDeltas(saidOf(text), { events: undefined, size: undefined })]
  return got === deltas.slice(0, Math.ceil(deltas.length / 2)).join('')
}

function timersOf({ queue }: Actor): number {
  return queue.all().filter(({ kind }) => kind === 'timer').length
}
