import type { Config } from '../../config/settings.ts'
import type { ClusterStatus, CredentialNews, UsageNews } from '../../ipc/messages.ts'
import type { Logger } from '../../observe/logger.ts'
import {
  BOOK_ID,
  bookAlert,
  CRASH_LOOP,
  endingAlert,
  FAILING_ID,
  failingAlert,
  SIGN_IN_ALERTS,
  signInAlert,
  type Alert
} from './alert.ts'
import type { JsonCall } from '../../upstream/call/json-exchange.ts'
import { SideLane } from '../../upstream/call/side-lane.ts'
import { createHmac } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseJsonObject } from '../../shared/json.ts'
import { makeFolder, replaceFile } from '../../shared/private-files.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import { version } from '../../shared/version.ts'

interface AlertSenderOptions {
  readonly stateDir: string
  readonly settings: () => {
    readonly webhookUrl: string | null
    readonly webhookSecret: string | null
  }
  /** Uses its own connections, so that a slow receiver delays nothing else. */
  readonly call: JsonCall
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly retryMs?: readonly number[]
  readonly now?: () => number
}

const RETRY_MS = [2_000, 15_000]
const TIMEOUT_MS = 5_000
/** Newer alerts are dropped; the log has them. */
const MAX_WAITING = 100
const MAX_TOLD = 1_000

/** Sends alerts to `ALERT_WEBHOOK_URL`, each once, one by one. Nothing waits for it or fails with it. */
export class AlertSender {
  readonly #options: AlertSenderOptions
  readonly #now: () => number
  readonly #path: string
  readonly #abort = new AbortController()
  /** Ids sent or about to be. Bounded by MAX_TOLD. */
  readonly #told = new Set<string>()
  /** Bounded by MAX_WAITING. */
  readonly #waiting: { readonly alert: Alert; readonly at: number }[] = []
  readonly #tellOnce = singleFlight(
    () => this.#tellAll(),
    () => {
      if (this.#waiting.length > 0) void this.#tellOnce() // it was raised in the last moment
    }
  )
  #saving: Promise<void> = Promise.resolve()

  constructor(options: AlertSenderOptions) {
    this.#options = options
    this.#now = options.now ?? (() => Date.now())
    this.#path = join(options.stateDir, 'alerts.json')
  }

  get isWanted(): boolean {
    return this.#options.settings().webhookUrl !== null
  }

  /** Reads the ids sent before the last restart. Never rejects. */
  async start(): Promise<void> {
    const saved = parseJsonObject(await readFile(this.#path, 'utf8').catch(() => ''))?.['told']
    if (!Array.isArray(saved)) return
    const ids = saved.filter((id: unknown): id is string => typeof id === 'string')
    for (const id of ids) if (this.#told.size < MAX_TOLD) this.#told.add(id)
  }

  raise(alert: Alert | null): void {
    if (alert === null || !this.isWanted || this.#told.has(alert.id)) return
    if (this.#waiting.length >= MAX_WAITING) return
    this.#told.add(alert.id)
    for (const id of this.#told) {
      if (this.#told.size <= MAX_TOLD) break
      this.#told.delete(id)
    }
    this.#save()
    this.#waiting.push({ alert, at: this.#now() })
    void this.#tellOnce() // never rejects
  }

  settle(...ids: readonly string[]): void {
    const isKnown = ids.map((id) => this.#told.delete(id)).includes(true)
    if (isKnown) this.#save()
  }

  /** Leaves unsent alerts to the next start. Never rejects. */
  async close(): Promise<void> {
    this.#abort.abort()
    const untold = this.#waiting.splice(0)
    await this.#tellOnce.running
    this.settle(...untold.map(({ alert }) => alert.id))
    await this.#saving
  }

  async #tellAll(): Promise<void> {
    for (;;) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      const { type, id } = next.alert
      const failure = await this.#tell(next.alert, next.at)
      if (failure !== null && this.#abort.signal.aborted) return this.settle(id)
      if (failure === null) this.#options.log.info({ alert: type }, 'alert sent')
      else this.#options.log.warn({ alert: type, failure }, 'alert cannot be sent')
    }
  }

  /** Returns why it failed, or `null`. The address may be a secret, so it is never repeated. */
  async #tell({ type, text, facts }: Alert, at: number): Promise<string | null> {
    const { webhookUrl: url, webhookSecret } = this.#options.settings()
    if (url === null) return null
    const { signal } = this.#abort
    const body = JSON.stringify({ text, type, at: new Date(at).toISOString(), ...facts })
    const headers = {
      'content-type': 'application/json',
      'user-agent': `kiro-gateway/${version}`,
      ...(webhookSecret !== null && { [SIGNATURE]: signatureOf(body, webhookSecret) })
    }
    const delays = this.#options.retryMs ?? RETRY_MS
    for (let attempt = 0; ; attempt++) {
      const failure = await this.#post({ url, headers, body })
      const pauseMs = delays[attempt]
      if (failure === null || pauseMs === undefined || signal.aborted) return failure
      await delay(pauseMs, undefined, { signal, ref: false }).catch(() => {}) // closed: it ends above
    }
  }

  async #post(message: {
    readonly url: string
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
  }): Promise<string | null> {
    const { signal } = this.#abort
    const request = { method: 'POST', timeoutMs: TIMEOUT_MS, setting: SETTING, ...message } as const
    try {
      const { status } = await this.#options.call(request, signal)
      return status >= 200 && status < 300 ? null : `status ${status}`
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
      return code === '' ? 'no answer' : code
    }
  }

  #save(): void {
    this.#saving = this.#writeAfter(this.#saving)
  }

  async #writeAfter(before: Promise<void>): Promise<void> {
    await before
    const text = `${JSON.stringify({ told: [...this.#told] })}\n`
    try {
      await makeFolder(this.#options.stateDir)
      await replaceFile(this.#path, { text, mode: 0o600, isDurable: false })
    } catch {
      // A duplicate alert is better than none.
    }
  }
}

const SETTING = 'ALERT_WEBHOOK_URL'

/** Signature of the body's bytes with the shared secret, as `sha256=<hex>`. */
const SIGNATURE = 'x-kiro-gateway-signature'

function signatureOf(body: string, secret: string): string {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
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
  readonly sender: AlertSender
  readonly #options: AlertControlOptions
  readonly #lane: SideLane
  #timer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(options: AlertControlOptions) {
    const { config, log } = options
    this.#options = options
    this.#lane = new SideLane(config(), 1)
    const { stateDir } = config().credentials
    const settings = () => config().alerts
    this.sender = new AlertSender({ stateDir, settings, call: this.#lane.call, log })
  }

  async start(): Promise<void> {
    await this.sender.start()
    this.#lookLater(FIRST_LOOK_MS)
  }

  onSignIn(news: CredentialNews): void {
    if (news.snapshot === null) this.sender.raise(signInAlert(news))
    else this.sender.settle(...SIGN_IN_ALERTS)
  }

  onStatus({ isCrashLooping, bookProblem, failing }: ClusterStatus): void {
    if (failing?.level === 'red') this.sender.raise(failingAlert(failing))
    else if (failing === undefined) this.sender.settle(FAILING_ID)
    if (bookProblem === undefined) this.sender.settle(BOOK_ID)
    else this.sender.raise(bookAlert(bookProblem))
    if (isCrashLooping) this.sender.raise(CRASH_LOOP)
    else this.sender.settle(CRASH_LOOP.id)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.sender.close()
    await this.#lane.close()
  }

  #lookLater(delayMs: number): void {
    if (this.#isClosed) return
    this.#timer = setTimeout(() => void this.#look(), delayMs) // cannot reject
    this.#timer.unref()
  }

  async #look(): Promise<void> {
    if (this.sender.isWanted) {
      this.sender.raise(endingAlert(this.#options.signInEndsAt(), Date.now()))
      await this.#options.usage() // its listeners report it
    }
    this.#lookLater(LOOK_MS)
  }
}
