import { type KiroKeyVerdict, MAX_ACCEPTED_KEYS } from '../../ipc/messages.ts'
import type { ToPrimary } from '../../ipc/channel.ts'
import { GatewayError, unlessAborted } from '../../shared/errors.ts'
import { addNewest, setNewest } from '../../shared/newest.ts'
import type { PrimaryPulse } from './primary-pulse.ts'

const MARK = 'kiro-'

export function kiroKeyName(digest: string): string {
  return `${MARK}${digest}`
}

export function isKiroKeyName(name: string): boolean {
  return name.startsWith(MARK)
}

export interface KeyTrialsOptions {
  /** The primary limits the rate of trials and spreads verdicts to all workers. */
  readonly channel: ToPrimary
  readonly pulse: Pick<PrimaryPulse, 'ask'>
  readonly now?: () => number
}

/** Shared place in every queue of keys that are not accepted yet. No key has such a name. */
export const NEW_KEYS_PLACE = 'kiro-new'

const MAX_REFUSED = 4096
/** Longest wait before another trial: refusals can be wrong, and keys mended. */
const REFUSED_MS = 60_000
/** Limit of all keys: each waiting request holds a connection and the arrived part of its body. */
const MAX_WAITING = 64
/** Pause after the primary's "no". */
const ASK_AGAIN_MS = 1_000

/**
 * Verdicts on clients' Kiro keys, by names made of their digests. Any text may look like such a key, so a new one has to
 * pass a trial before it counts as a client of its own. Its other requests wait for the verdict.
 *
 *             ┌──────── the request ends without a verdict ────────┐
 *             ▼                                                    │
 *   unknown ──┴─ a request of it, within the rate ──▶ on trial ────┤
 *     ▲ ▲                                                          ├─ the upstream takes it ──▶ accepted
 *     │ └────────────────── after REFUSED_MS ────── refused ◀──────┘                               │
 *     └──────────────────────────── the upstream refuses it ───────────────────────────────────────┘
 */
export class KeyTrials {
  readonly #options: KeyTrialsOptions
  /** Least recently used first. Bounded by MAX_ACCEPTED_KEYS. */
  readonly #accepted = new Set<string>()
  /** Deadlines by key, oldest first. Bounded by MAX_REFUSED. */
  readonly #refused = new Map<string, number>()
  /** Settles at the end of the trial. Bounded by the requests under way. */
  readonly #running = new Map<string, PromiseWithResolvers<void>>()
  #waiting = 0
  #often = { askAgainAt: -Infinity, until: -Infinity }

  constructor(options: KeyTrialsOptions) {
    this.#options = options
  }

  isAccepted(name: string): boolean {
    return this.#accepted.has(name)
  }

  /**
   * Resolves with the key's trial, which the caller must end, or `null` if it needs none.
   * @throws {GatewayError} GW_UPSTREAM_AUTH for a key refused lately; GW_NEW_KEYS_OFTEN if too many are
   * tried, or wait; GW_PRIMARY_SILENT; the signal's reason
   */
  async admit(name: string, signal: AbortSignal): Promise<Disposable | null> {
    for (;;) {
      signal.throwIfAborted()
      if (this.#accepted.has(name)) return null
      if (this.#isRefused(name)) throw keyRefused()
      const running = this.#running.get(name)
      if (running === undefined) return this.#begin(name)
      await this.#wait(running.promise, signal)
    }
  }

  accept(name: string): void {
    if (!this.#accepted.has(name)) this.#tell({ name, isAccepted: true })
    this.#accept(name)
  }

  /** Notes that the upstream does not know the key, and returns the client's error. */
  refuse(name: string): GatewayError {
    if (this.#accepted.delete(name)) this.#tell({ name, isAccepted: false })
    else this.#remember(name)
    this.#end(name)
    return keyRefused()
  }

  onVerdict({ name, isAccepted }: KiroKeyVerdict): void {
    if (isAccepted) this.#accept(name)
    else this.#accepted.delete(name)
  }

  #tell(verdict: KiroKeyVerdict): void {
    this.#options.channel.send({ type: 'kiro-key.lesson', ...verdict })
  }

  #accept(name: string): void {
    this.#refused.delete(name)
    addNewest(this.#accepted, MAX_ACCEPTED_KEYS, name)
    this.#end(name)
  }

  #remember(name: string): void {
    setNewest(this.#refused, MAX_REFUSED, name, this.#now() + REFUSED_MS)
  }

  #isRefused(name: string): boolean {
    const until = this.#refused.get(name)
    if (until === undefined) return false
    if (this.#now() < until) return true
    this.#refused.delete(name)
    return false
  }

  async #begin(name: string): Promise<Disposable> {
    const running = Promise.withResolvers<void>()
    this.#running.set(name, running)
    const end = (): void => {
      if (this.#running.get(name) === running) this.#end(name)
    }
    try {
      await this.#takeOne()
    } catch (cause) {
      end()
      throw cause
    }
    return { [Symbol.dispose]: end }
  }

  #end(name: string): void {
    this.#running.get(name)?.resolve()
    this.#running.delete(name)
  }

  async #wait(verdict: Promise<void>, signal: AbortSignal): Promise<void> {
    if (this.#waiting >= MAX_WAITING) throw tooOften(1)
    this.#waiting++
    try {
      await unlessAborted(verdict, signal)
    } finally {
      this.#waiting--
    }
  }

  /** Serves all who wait, as the first may leave. */
  async #takeOne(): Promise<void> {
    if (this.#now() >= this.#often.askAgainAt) {
      const waitMs = await this.#options.pulse.ask({ type: 'kiro-key.try' })
      if (waitMs === 0) return
      const now = this.#now()
      this.#often = { askAgainAt: now + Math.min(waitMs, ASK_AGAIN_MS), until: now + waitMs }
    }
    throw tooOften((this.#often.until - this.#now()) / 1000)
  }

  #now(): number {
    return this.#options.now?.() ?? performance.now()
  }
}

function keyRefused(): GatewayError {
  const message =
    'The upstream rejects this Kiro API key: it may be mistyped or revoked. Create a new one in Kiro.'
  return new GatewayError('GW_UPSTREAM_AUTH', undefined, { message })
}

function tooOften(seconds: number): GatewayError {
  const retryAfterS = Math.max(1, Math.ceil(seconds))
  const message = `Too many new Kiro API keys were sent to this gateway. Try again in ${retryAfterS} s.`
  return new GatewayError('GW_NEW_KEYS_OFTEN', undefined, { message, retryAfterS })
}
