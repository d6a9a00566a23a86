import { isGatewayPort, UPSTREAM_PORT } from './gateway.ts'
import type { Link, Network } from './network.ts'
import type { WorldUpstream } from './upstream.ts'
import type { Actor, World } from './world.ts'

/** What a request may suffer from the faults that it has met. */
export type Harm = 'none' | 'error' | 'broken'

const ASKED = /ask-(\d+)\b/g
/** So long after the end of a pause, or after a death, its consequences may come. */
const CONSEQUENCE_MS = 60_000
/** Between two attempts there is at least so much. */
const BACK_OFF_MS = 500
/** For times that are kept. */
const KEPT_MS = 600_000
/** A worker that stands still for longer may be taken for one that hangs, and requests in it may time out. */
export const LONG_PAUSE_MS = 10_000
/** A worker that has said nothing for so long is killed, also while it starts. */
const HANG_MS = 35_000

interface Attempts {
  readonly count: number
  /** Virtual ms of the last time that it was sent. */
  readonly at: number
  /** How often it was sent in the last attempt. */
  readonly sent: number
}

export interface TouchOptions {
  readonly world: World
  readonly network: Network
  readonly upstream: WorldUpstream
  /** Whether a question has not ended. */
  readonly isOpen: (ask: number) => boolean
  /** Called with each attempt at a question that no fault has met, from 1. */
  readonly onAttempt: (ask: number, attempt: number) => void
  /** Called with how often such a question was sent in one attempt. */
  readonly onSentAtOnce: (ask: number, times: number) => void
  /** Called with a worker that goes on although it stood still for so long that it hung. */
  readonly onHang: (worker: Actor) => void
}

/**
 * Knows which faults have met which request: the world sees which connection carries it, and in which worker it is. A
 * request that no fault has met has to be answered, whatever happens beside it.
 */
export class Touches {
  readonly #options: TouchOptions
  /** Of requests that are open. */
  readonly #harms = new Map<number, { harm: Harm; causes: string[] }>()
  /** Virtual ms until which a worker may be killed because it stood still. */
  readonly #suspects = new Map<Actor, number>()
  /** How often each request that is open was sent to the upstream. */
  readonly #sent = new Map<number, number>()
  /** Of requests that are open. */
  readonly #attempts = new Map<number, Attempts>()
  /** Virtual ms at which requests were sent again; older ones are dropped. */
  #sentAgainAt: number[] = []
  /** From when until when each process stood still last, in virtual ms. */
  readonly #still = new Map<Actor, { readonly from: number; readonly until: number }>()
  /** Virtual ms until which something stood still last. */
  pausedUntil = -Infinity
  /** Virtual ms of the last death that was no fault of the gateway's. */
  #lastDeathAt = -Infinity

  constructor(options: TouchOptions) {
    this.#options = options
    options.network.onSent = (link, bytes) => this.#onSent(link, bytes)
    options.network.onUnreachable = (link) => this.#onUnreachable(link)
  }

  harmOf(ask: number): Harm {
    return this.#harms.get(ask)?.harm ?? 'none'
  }

  causesOf(ask: number): readonly string[] {
    return this.#harms.get(ask)?.causes ?? []
  }

  forget(ask: number): void {
    this.#harms.delete(ask)
    this.#sent.delete(ask)
    this.#attempts.delete(ask)
  }

  timesSent(ask: number): number {
    return this.#sent.get(ask) ?? 0
  }

  /** How often any request was sent again, or tried to be, within the last so many ms. */
  sentAgainWithin(ms: number): number {
    const { now } = this.#options.world
    this.#sentAgainAt = this.#sentAgainAt.filter((at) => now - at < KEPT_MS)
    return this.#sentAgainAt.filter((at) => now - at < ms).length
  }

  /** A connection is hit. */
  onLink(link: Link, cause: string): void {
    const { port, client } = link
    const isOfClient = isGatewayPort(port)
    this.#noteHit(link)
    if (client.carries !== null) this.#touch(client.carries, isOfClient ? 'broken' : 'error', cause)
    else if (port === UPSTREAM_PORT) this.#touchWaitingIn(client.actor, cause)
  }

  /** Something will stand still from now on. */
  onPause(worker: Actor, pauseMs: number): void {
    const { now } = this.#options.world
    this.pausedUntil = Math.max(this.pausedUntil, now + pauseMs)
    const before = this.#still.get(worker)
    const from = before === undefined || before.until < now ? now : before.from
    this.#still.set(worker, { from, until: Math.max(before?.until ?? 0, now + pauseMs) })
    if (pauseMs <= LONG_PAUSE_MS) return
    this.#suspects.set(worker, this.#options.world.now + pauseMs + CONSEQUENCE_MS)
    this.#touchAllIn(worker, 'its worker stood still')
  }

  /** Virtual ms for which a process has stood still without a break, if that has not been over for a second. */
  stoodStillFor(process: Actor): number {
    const { now } = this.#options.world
    const { from, until } = this.#still.get(process) ?? { from: now, until: -Infinity }
    return now - until > 1_000 ? 0 : Math.min(now, until) - from
  }

  /** A process goes on after it stood still, while its primary did not. */
  onResume(worker: Actor, pauseMs: number): void {
    if (pauseMs >= HANG_MS && this.#suspects.has(worker) && !worker.isGone)
      this.#options.onHang(worker)
  }

  /** A worker is to be killed by a fault. */
  onKill(worker: Actor): void {
    this.#suspects.set(worker, Infinity)
  }

  /** Whether this death is the world's doing. */
  onDeath(worker: Actor): boolean {
    const { world } = this.#options
    const isExpected = (this.#suspects.get(worker) ?? -Infinity) >= world.now
    this.#suspects.delete(worker)
    if (!isExpected) return false
    this.#lastDeathAt = world.now
    this.#touchAllIn(worker, 'its worker died')
    return true
  }

  #onSent(link: Link, bytes: Buffer): void {
    const { port, client, isVanished } = link
    const found = bytes.includes('ask-') ? lastAskIn(bytes.toString('latin1')) : null
    if (found !== null && this.#options.isOpen(found)) {
      client.carries = found
      if (port === UPSTREAM_PORT) this.#noteSent(found)
    }
    client.carriesRenewal = bytes.includes('"refreshToken"')
    if (isVanished && port === UPSTREAM_PORT && client.carries !== null)
      this.#touch(client.carries, 'error', 'it was sent to where nobody hears it')
  }

  #noteSent(ask: number): void {
    const times = this.timesSent(ask) + 1
    this.#sent.set(ask, times)
    if (times > 1) this.#sentAgainAt.push(this.#options.world.now)
    this.#noteAttempt(ask)
  }

  /** What is sent again at once had found its connection closed, which is no attempt of its own. */
  #noteAttempt(ask: number): void {
    const { now } = this.#options.world
    const before = this.#attempts.get(ask) ?? { count: 0, at: -Infinity, sent: 0 }
    const isAnother = now - before.at >= BACK_OFF_MS
    const count = before.count + (isAnother ? 1 : 0)
    const sent = isAnother ? 1 : before.sent + 1
    this.#attempts.set(ask, { count, at: now, sent })
    const isUnharmed = this.harmOf(ask) === 'none' && now - this.pausedUntil > CONSEQUENCE_MS
    if (!isUnharmed) return
    this.#options.onAttempt(ask, count)
    this.#options.onSentAtOnce(ask, sent)
  }

  /** Whoever waits for a connection there may be the one that it was opened for. */
  #onUnreachable({ port, client }: Link): void {
    const { world } = this.#options
    if (port === UPSTREAM_PORT) {
      this.#sentAgainAt.push(world.now) // whoever it was for tries again
      return this.#touchWaitingIn(client.actor, 'the upstream could not be reached')
    }
    if (!isGatewayPort(port)) return
    if (client.carries !== null && world.now - this.#lastDeathAt <= CONSEQUENCE_MS)
      this.#touch(client.carries, 'broken', 'no worker was left')
  }

  /** A client that keeps its connection may not hear of it before it asks the next question. */
  #noteHit({ port, client }: Link): void {
    if (isGatewayPort(port)) client.hitWith ??= { carries: client.carries }
  }

  #touchAllIn(worker: Actor, cause: string): void {
    for (const link of this.#options.network.links)
      if (link.server?.actor === worker) this.#noteHit(link)
    for (const ask of this.#asksIn(worker)) this.#touch(ask, 'broken', cause)
  }

  #touchWaitingIn(worker: Actor, cause: string): void {
    const { network, upstream } = this.#options
    const answered = new Set<number>()
    for (const { port, client, server } of network.links)
      if (port === UPSTREAM_PORT && client.carries !== null && server !== null)
        if (upstream.busy.has(server)) answered.add(client.carries)
    for (const ask of this.#asksIn(worker)) if (!answered.has(ask)) this.#touch(ask, 'error', cause)
  }

  #asksIn(worker: Actor): readonly number[] {
    const { network } = this.#options
    const inIt = new Set<number>()
    for (const { port, client, server } of network.links)
      if (isGatewayPort(port) && server?.actor === worker && client.carries !== null)
        inIt.add(client.carries)
    return [...inIt]
  }

  #touch(ask: number, harm: Harm, cause: string): void {
    if (!this.#options.isOpen(ask)) return
    const known = this.#harms.get(ask) ?? { harm, causes: [] }
    if (harm === 'broken') known.harm = harm
    if (!known.causes.includes(cause)) known.causes.push(cause)
    this.#harms.set(ask, known)
  }
}

/** Number of the question that a request is about: those before it stand in front of it. `null` if there is none. */
export function lastAskIn(text: string): number | null {
  const [, id] = [...text.matchAll(ASKED)].at(-1) ?? []
  return id === undefined ? null : Number(id)
}
