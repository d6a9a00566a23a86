import type { GroupTokens } from '../../kiro/tokens/request-tokens.ts'
import type { AnswerCounter } from '../../kiro/tokens/text-counter.ts'
import type { TokenUsage } from '../../kiro/wire/event.ts'
import type { ReplyPlan } from '../plan/plan.ts'
import type { Usage } from './stream-part.ts'
import type { TextStage } from './text-stages.ts'

export interface UsageMeterOptions
  extends Pick<ReplyPlan, 'inputTokens' | 'contextWindow' | 'gauge'> {
  readonly newCounter: () => AnswerCounter
}

/** Tokens that the upstream has measured of a call. */
export interface Measurement {
  readonly tokens: number
  /** Tokens by which that may be off. */
  readonly within: number
  /** The part of the answer that is among them; all 0 if it is not. */
  readonly answer: GroupTokens
}

/** Larger figures are errors of the upstream: clients compact by them, and metrics add them up. */
const MaxTokens = 100_000_000
const MaxPercentage = 1000
const MaxCredits = 1_000_000

/** Share of the answer by which the count of it may be off. */
const ANSWER_WITHIN = 0.1
/** Share of the reasoning that may be missing in what is shown of it. */
const SUMMARY_WITHIN = 0.5
/** Tokens that reasoning which is not shown may have. */
const UNSEEN_TOKENS = 1500
const NO_ANSWER: GroupTokens = [0, 0, 0, 0, 0, 0, 0, 0]

/**
 * Adds up the cost of an answer (kiro-protocol §6): the upstream's counts, else its percentage of the
 * window less the local count of the answer, else the local estimate. Never negative, never zero input.
 */
export class UsageMeter {
  readonly #options: UsageMeterOptions
  readonly #answer: AnswerCounter
  readonly #reasoning: AnswerCounter
  #contextWindow: number
  #percentage = 0
  #isReasoningUnseen = false
  #credits: number | undefined
  #counts: TokenUsage = {}
  /** The counts that can be believed. */
  #told: TokenUsage = {}

  constructor(options: UsageMeterOptions) {
    this.#options = options
    this.#contextWindow = options.contextWindow
    this.#answer = options.newCounter()
    this.#reasoning = options.newCounter()
  }

  addText(text: string): void {
    this.#answer.add(text)
  }

  addReasoning(text: string): void {
    this.#reasoning.add(text)
  }

  /** The model has thought something that it does not show. */
  noteUnseenReasoning(): void {
    this.#isReasoningUnseen = true
  }

  addCredits(credits: number): void {
    if (!(credits >= 0 && credits <= MaxCredits)) return // false for NaN
    this.#credits = Math.min(MaxCredits, (this.#credits ?? 0) + credits)
  }

  /** `null` until the upstream reports any. */
  get credits(): number | null {
    return this.#credits ?? null
  }

  /** Local estimate of all that the model said, whether or not the client heard it. */
  get saidTokens(): number {
    return Math.ceil(this.#answer.tokens) + Math.ceil(this.#reasoning.tokens)
  }

  addCounts(counts: TokenUsage): void {
    this.#counts = { ...this.#counts, ...counts }
    this.#told = believableOf(this.#counts)
  }

  setPercentage(percentage: number): void {
    if (percentage >= 0 && percentage <= MaxPercentage) this.#percentage = percentage
  }

  setContextWindow(tokens: number): void {
    this.#contextWindow = tokens
  }

  get isWindowFull(): boolean {
    return this.#percentage >= 100
  }

  /** `maxOutputTokens`: the answer was cut there, and what the model said beyond is not charged to the client. */
  total(maxOutputTokens = Number.POSITIVE_INFINITY): Usage {
    const reasoningTokens = Math.ceil(this.#reasoning.tokens)
    const outputTokens = Math.min(this.#outputTokens(), maxOutputTokens)
    return {
      ...this.#input(),
      outputTokens,
      ...(reasoningTokens > 0 && { reasoningTokens: Math.min(reasoningTokens, outputTokens) }),
      ...(this.#credits !== undefined && { credits: this.#credits })
    }
  }

  /** Tokens of the request, cached ones included; null until the upstream gives any. */
  measuredInput(): number | null {
    const { inputTokens, cacheReadTokens, cacheWriteTokens } = this.#toldInput()
    const tokens = inputTokens + (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0)
    return tokens > 0 ? tokens : null
  }

  /** Tokens that the upstream measured, to learn from; `null` until it has. */
  measurement(): Measurement | null {
    const input = this.measuredInput()
    if (input === null) return null
    if (this.#isInputCounted) return { tokens: input, within: 0, answer: NO_ANSWER }
    const [answer, reasoning] = [this.#answer.groups, this.#reasoning.groups]
    return {
      tokens: input + this.#outputTokens(),
      within: this.#percentageWithin() + this.#reasoningWithin(),
      answer: answer.map((tokens, at) => tokens + (reasoning[at] ?? 0))
    }
  }

  /** Tells the upstream's own prompt apart from what it measured, where that is known. */
  #input(): Omit<Usage, 'outputTokens'> {
    const { inputTokens, gauge } = this.#options
    const told = this.#toldInput()
    const isMeasured = this.measuredInput() !== null
    if (gauge === undefined) return isMeasured ? told : { ...told, inputTokens }
    const { hidden, hiddenWithin } = gauge
    if (!isMeasured) {
      const apart = hidden === null ? {} : { hiddenTokens: hidden }
      return { ...told, inputTokens, ...apart, inputWithin: gauge.within }
    }
    const within = this.#measuredWithin()
    if (hidden === null) return { ...told, inputWithin: within }
    const hiddenTokens = Math.max(0, Math.min(hidden, told.inputTokens - 1))
    return {
      ...told,
      inputTokens: told.inputTokens - hiddenTokens,
      hiddenTokens,
      inputWithin: within + hiddenWithin
    }
  }

  #measuredWithin(): number {
    if (this.#isInputCounted) return 0
    const answerWithin = this.saidTokens * ANSWER_WITHIN
    return Math.ceil(this.#percentageWithin() + answerWithin + this.#reasoningWithin())
  }

  get #isInputCounted(): boolean {
    return this.#told.uncachedInputTokens !== undefined
  }

  /** Tokens of the window in the last digit of the percentage. */
  #percentageWithin(): number {
    if (this.#told.totalTokens !== undefined) return 0
    return Math.max(1, (this.#contextWindow / 100) * lastDigitOf(this.#percentage))
  }

  #reasoningWithin(): number {
    const shown = this.#reasoning.tokens
    return shown > 0 ? shown * SUMMARY_WITHIN : this.#isReasoningUnseen ? UNSEEN_TOKENS : 0
  }

  #toldInput(): Omit<Usage, 'outputTokens'> {
    const {
      cacheReadInputTokens: cacheReadTokens,
      cacheWriteInputTokens: cacheWriteTokens,
      uncachedInputTokens
    } = this.#told
    const cachedTokens = (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0)
    const byPercentage = Math.floor((this.#percentage / 100) * this.#contextWindow)
    const allTokens = this.#told.totalTokens ?? byPercentage
    return {
      inputTokens:
        uncachedInputTokens ?? Math.max(0, allTokens - this.#outputTokens() - cachedTokens),
      ...(cacheReadTokens !== undefined && { cacheReadTokens }),
      ...(cacheWriteTokens !== undefined && { cacheWriteTokens })
    }
  }

  #outputTokens(): number {
    return this.#told.outputTokens ?? this.saidTokens
  }
}

const MAX_DECIMALS = 6

/** Size of the last digit that a percentage was told with. */
function lastDigitOf(percentage: number): number {
  let digit = 1
  for (let decimals = 0; decimals < MAX_DECIMALS; decimals++) {
    const scaled = percentage / digit
    if (Math.abs(scaled - Math.round(scaled)) < 1e-6 * Math.max(1, scaled)) return digit
    digit /= 10
  }
  return digit
}

/** Leaves out what cannot be a count. None is believed if all are zero. */
function believableOf(counts: TokenUsage): TokenUsage {
  const good = Object.entries(counts).flatMap(([name, tokens]: readonly [string, number]) =>
    tokens >= 0 && tokens <= MaxTokens ? [[name, Math.floor(tokens)] as const] : []
  )
  return good.some(([, tokens]) => tokens > 0) ? Object.fromEntries(good) : {}
}

/**
 * Cuts an answer at the client's token limit, which the upstream keeps roughly or not at all. Counts
 * fractions, so that the result does not depend on the pieces. The last token may have begun.
 */
export class AnswerLimit implements TextStage {
  readonly #maxTokens: number
  readonly #counter: AnswerCounter
  readonly #onReached: () => void
  #isReached = false

  /** `onReached`: something did not fit, and the answer ends here. */
  constructor(maxTokens: number | undefined, counter: AnswerCounter, onReached: () => void) {
    this.#maxTokens = maxTokens ?? Number.POSITIVE_INFINITY
    this.#counter = counter
    this.#onReached = onReached
  }

  get isNone(): boolean {
    return this.#maxTokens === Number.POSITIVE_INFINITY
  }

  push(text: string): string {
    if (this.#isReached) return ''
    if (this.takeWhole(text)) return text
    let fittingChars = 0
    for (const char of text) {
      if (!this.#add(char)) break
      fittingChars += char.length
    }
    return text.slice(0, fittingChars)
  }

  release(): string {
    return ''
  }

  takeWhole(text: string): boolean {
    if (this.#isReached || this.isNone || this.#add(text)) return !this.#isReached
    this.#isReached = true
    this.#onReached()
    return false
  }

  #add(text: string): boolean {
    const { state } = this.#counter
    this.#counter.add(text)
    if (Math.floor(this.#counter.tokens) <= this.#maxTokens) return true
    this.#counter.restore(state)
    return false
  }
}

const USAGE_MEMBERS = [
  'inputTokens',
  'outputTokens',
  'cacheReadTokens',
  'cacheWriteTokens',
  'reasoningTokens',
  'hiddenTokens',
  'inputWithin',
  'credits'
] as const satisfies readonly (keyof Usage)[]

export function addUsage(first: Usage | null, second: Usage): Usage {
  if (first === null) return second
  const sum: { -readonly [Name in keyof Usage]: Usage[Name] } = { ...first }
  for (const name of USAGE_MEMBERS) {
    const more = second[name]
    if (more !== undefined) sum[name] = (sum[name] ?? 0) + more
  }
  return sum
}

/**
 * Members that clients' libraries do not know, beside the counts that they do: the upstream's own prompt, which is in
 * none of those, and how far the input may be off.
 */
export function toCountMembers({
  hidden = null,
  within
}: {
  readonly hidden?: number | null | undefined
  readonly within?: number | undefined
}): { readonly hidden_tokens?: number; readonly tokens_within?: number } {
  return {
    ...(hidden !== null && { hidden_tokens: hidden }),
    ...(within !== undefined && { tokens_within: within })
  }
}
