import { dirname, join, resolve } from 'node:path'
import type { CountErrors } from '../../dashboard/feed.ts'
import {
  errorsOf,
  type GaugeState,
  hiddenOf,
  parseGauge,
  type TokenLesson,
  type LearntGauges,
  TokenGauges
} from '../../kiro/tokens/token-gauge.ts'
import type { Metrics } from '../../observe/metrics.ts'
import { asJsonObject, parseJsonObject } from '../../shared/json.ts'
import { setNewest } from '../../shared/newest.ts'
import {
  makeFolder,
  readPrivateFile,
  removeDrafts,
  replaceFile
} from '../../shared/private-files.ts'

export interface LearntTokensOptions {
  readonly stateDir: string
  /** The account that the gateway is signed in to; `null` for none. */
  readonly account: () => string | null
  readonly tell: (learnt: LearntGauges) => void
  readonly saveMs?: number
}

const FORMAT = 1
const MAX_ACCOUNTS = 4
const MAX_BYTES = 1024 * 1024
/** A crash loses what was learnt in this time. */
const SAVE_MS = 30_000

/** Keeps how each model of an account counts tokens, over restarts in `token-counts.json` of STATE_DIR. */
export class LearntTokens {
  readonly #options: LearntTokensOptions
  readonly #path: string
  /** By account. Bounded by MAX_ACCOUNTS. */
  readonly #accounts = new Map<string, TokenGauges>()
  #told: string | null = null
  #timer: NodeJS.Timeout | null = null
  #saving: Promise<void> = Promise.resolve()
  #onChange = (): void => {}

  constructor(options: LearntTokensOptions) {
    this.#options = options
    this.#path = resolve(join(options.stateDir, 'token-counts.json'))
  }

  /** Reads what was learnt before the last restart. Never rejects: a damaged file is learnt again. */
  async start(): Promise<void> {
    await removeDrafts(this.#path)
    const bytes = await readPrivateFile(this.#path, MAX_BYTES).catch(() => null)
    const saved = bytes === null ? null : parseJsonObject(bytes.toString())
    if (saved?.['format'] !== FORMAT) return
    for (const [account, gauges] of Object.entries(asJsonObject(saved['accounts']) ?? {}))
      if (Array.isArray(gauges)) this.#adopt(account, gaugesIn(gauges))
    this.onSignIn()
  }

  /** Tells all that is known of the account, if it is another one. */
  onSignIn(): void {
    const account = this.#account
    if (account === this.#told) return
    this.#told = account
    this.#options.tell(this.all())
  }

  learn(lesson: TokenLesson): void {
    const learnt = this.#current().learn(lesson)
    if (learnt !== null) this.#changed([learnt])
  }

  /** Takes over what another gateway of the fleet knows better. */
  adopt(gauges: readonly GaugeState[]): void {
    const current = this.#current()
    const better = gauges.filter(
      ({ model, lessons }) => lessons > (current.get(model)?.lessons ?? 0)
    )
    for (const gauge of better) current.adopt(gauge)
    if (better.length > 0) this.#changed(better)
  }

  /** Hears of each change; there is one listener. */
  onChange(listener: () => void): void {
    this.#onChange = listener
  }

  all(): LearntGauges {
    return { gauges: this.#current().all(), isAll: true }
  }

  errors(): readonly CountErrors[] {
    return this.all().gauges.flatMap((gauge) => {
      const errors = errorsOf(gauge)
      return errors === null ? [] : [{ model: gauge.model, hidden: hiddenOf(gauge), ...errors }]
    })
  }

  noteMetrics(metrics: Metrics): void {
    metrics.tokenCountError.reset()
    metrics.hiddenTokens.reset()
    for (const { model, p50, p95, hidden } of this.errors()) {
      metrics.tokenCountError.set({ model, quantile: '0.5' }, p50)
      metrics.tokenCountError.set({ model, quantile: '0.95' }, p95)
      if (hidden !== null) metrics.hiddenTokens.set({ model }, hidden)
    }
  }

  /** Writes what is not written yet. Never rejects. */
  async close(): Promise<void> {
    if (this.#timer !== null) {
      clearTimeout(this.#timer)
      this.#timer = null
      this.#save()
    }
    await this.#saving
  }

  get #account(): string {
    return this.#options.account() ?? ''
  }

  #current(): TokenGauges {
    const account = this.#account
    const gauges = this.#accounts.get(account) ?? new TokenGauges()
    setNewest(this.#accounts, MAX_ACCOUNTS, account, gauges)
    return gauges
  }

  #adopt(account: string, found: readonly GaugeState[]): void {
    const gauges = this.#accounts.get(account) ?? new TokenGauges()
    // Answers may have come while the file was read.
    for (const gauge of found) if (gauges.get(gauge.model) === undefined) gauges.adopt(gauge)
    setNewest(this.#accounts, MAX_ACCOUNTS, account, gauges)
  }

  #changed(gauges: readonly GaugeState[]): void {
    this.onSignIn()
    this.#options.tell({ gauges, isAll: false })
    this.#onChange()
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.#save()
    }, this.#options.saveMs ?? SAVE_MS).unref()
  }

  #save(): void {
    this.#saving = this.#writeAfter(this.#saving)
  }

  async #writeAfter(before: Promise<void>): Promise<void> {
    await before
    const accounts = Object.fromEntries(
      Array.from(this.#accounts, ([account, gauges]) => [account, gauges.all()])
    )
    const text = `${JSON.stringify({ format: FORMAT, accounts })}\n`
    try {
      await makeFolder(dirname(this.#path))
      await replaceFile(this.#path, { text, mode: 0o600, isDurable: false })
    } catch {
      // Counts are learnt again after the next start.
    }
  }
}

export function gaugesIn(list: readonly unknown[]): readonly GaugeState[] {
  return list.flatMap((one) => parseGauge(JSON.stringify(one)) ?? [])
}
