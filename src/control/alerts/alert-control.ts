import type { Config } from '../../config/settings.ts'
import type { ClusterStatus, CredentialNews, UsageNews } from '../../ipc/messages.ts'
import type { Logger } from '../../observe/logger.ts'
import { AlertDesk } from './alert-desk.ts'
import {
  BOOK_ID,
  bookAlert,
  CRASH_LOOP,
  endingAlert,
  SIGN_IN_ALERTS,
  signInAlert
} from './alert.ts'
import { exchangeJson, type JsonCall } from '../../upstream/call/json-exchange.ts'
import { ConnectionPool } from '../../upstream/connections/pool.ts'
import { upstreamNames } from '../../upstream/names/host-names.ts'
import { chooseProxy } from '../../upstream/proxy/proxy.ts'

/** One connection to the webhook at a time, outside the upstream's budget. */
export class AlertLane {
  readonly #config: Config
  #pool: ConnectionPool | null = null

  constructor(config: Config) {
    this.#config = config
  }

  readonly call: JsonCall = (request, signal) => {
    this.#pool ??= this.#createPool()
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(request.timeoutMs)])
    const permit = { release: () => {} } // there is one call at a time
    return exchangeJson({ pool: this.#pool, request, signal: deadline, permit })
  }

  async close(): Promise<void> {
    await this.#pool?.close()
  }

  #createPool(): ConnectionPool {
    const { proxy, names, upstream } = this.#config
    return new ConnectionPool({
      limits: { maxSockets: () => 2, maxIdle: () => 0 }, // one may still be closing
      chooseProxy: chooseProxy(proxy),
      names: upstreamNames(names.servers),
      connectTimeoutMs: upstream.connectTimeoutMs,
      keepaliveExpiryMs: 0
    })
  }
}

export interface AlertControlOptions {
  readonly config: () => Config
  readonly usage: () => Promise<UsageNews>
  /** Epoch ms; `null` if unknown. */
  readonly signInEndsAt: () => number | null
  readonly log: Pick<Logger, 'info' | 'warn'>
}

const LOOK_MS = 600_000
const FIRST_LOOK_MS = 30_000

export class AlertControl {
  readonly desk: AlertDesk
  readonly #options: AlertControlOptions
  readonly #lane: AlertLane
  #timer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(options: AlertControlOptions) {
    const { config, log } = options
    this.#options = options
    this.#lane = new AlertLane(config())
    const { stateDir } = config().credentials
    const settings = () => config().alerts
    this.desk = new AlertDesk({ stateDir, settings, call: this.#lane.call, log })
  }

  async start(): Promise<void> {
    await this.desk.start()
    this.#lookLater(FIRST_LOOK_MS)
  }

  onSignIn(news: CredentialNews): void {
    if (news.snapshot === null) this.desk.raise(signInAlert(news))
    else this.desk.settle(...SIGN_IN_ALERTS)
  }

  onStatus({ isCrashLooping, bookProblem }: ClusterStatus): void {
    if (bookProblem === undefined) this.desk.settle(BOOK_ID)
    else this.desk.raise(bookAlert(bookProblem))
    if (isCrashLooping) this.desk.raise(CRASH_LOOP)
    else this.desk.settle(CRASH_LOOP.id)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.desk.close()
    await this.#lane.close()
  }

  #lookLater(delayMs: number): void {
    if (this.#isClosed) return
    this.#timer = setTimeout(() => void this.#look(), delayMs) // cannot reject
    this.#timer.unref()
  }

  async #look(): Promise<void> {
    if (this.desk.isWanted) {
      this.desk.raise(endingAlert(this.#options.signInEndsAt(), Date.now()))
      await this.#options.usage() // its listeners report it
    }
    this.#lookLater(LOOK_MS)
  }
}
