import { tokensOf } from '../../kiro/models/tokens.ts'
import type { TokenUsage } from '../../kiro/wire/event.ts'
import type { ReplyPlan } from '../plan/plan.ts'
import type { Usage } from './stream-part.ts'
import type { TextStage } from './text-stages.ts'

export interface UsageMeterOptions extends Pick<ReplyPlan, 'inputTokens' | 'contextWindow'> {
  /** Tokens of a text with so many UTF-16 units, and UTF-8 bytes beyond them. */
  readonly weigh: (chars: number, extraBytes: number) => number
}

/** Larger figures are errors of the upstream: clients compact by them, and metrics add them up. */
const MaxTokens = 100_000_000
const MaxPercentage = 1000
const MaxCredits = 1_000_000

/**
 * Adds up the cost of an answer (kiro-protocol §6): the upstream's counts, else its percentage of the
 * window less the local count of the answer, else the local estimate. Never negative, never zero input.
 */
export class UsageMeter {
  readonly #options: UsageMeterOptions
  readonly #answer: TokenCount
  readonly #reasoning: TokenCount
  #contextWindow: number
  #percentage = 0
  #credits: number | undefined
  #counts: TokenUsage = {}

  constructor(options: UsageMeterOptions) {
    this.#options = options
    this.#contextWindow = options.contextWindow
    this.#answer = new TokenCount(options.weigh)
    this.#reasoning = new TokenCount(options.weigh)
  }

  addText(text: string): void {
    this.#answer.add(text)
  }

  addReasoning(text: string): void {
    this.#reasoning.add(text)
  }

  addCredits(credits: number): void {
    if (!(credits >= 0 && credits <= MaxCredits)) return // false for NaN
    this.#credits = Math.min(MaxCredits, (this.#credits ?? 0) + credits)
  }

  /** `null` until the upstream reports any. */
  get credits(): number | null {
    return this.#credits ?? null
  }

  get saidTokens(): number {
    return this.#answer.total() + this.#reasoning.total()
  }

  addCounts(counts: TokenUsage): void {
    this.#counts = { ...this.#counts, ...counts }
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
    const reasoningTokens = this.#reasoning.total()
    const outputTokens = Math.min(this.#outputTokens(), maxOutputTokens)
    const told = this.#toldInput()
    return {
      ...told,
      inputTokens: this.measuredInput() === null ? this.#options.inputTokens : told.inputTokens,
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

  #toldInput(): Omit<Usage, 'outputTokens'> {
    const counts = this.#toldCounts()
    const cacheReadTokens = countOf(counts.cacheReadInputTokens)
    const cacheWriteTokens = countOf(counts.cacheWriteInputTokens)
    const cachedTokens = (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0)
    const byPercentage = Math.floor((this.#percentage / 100) * this.#contextWindow)
    const allTokens = countOf(counts.totalTokens) ?? byPercentage
    return {
      inputTokens:
        countOf(counts.uncachedInputTokens) ??
        Math.max(0, allTokens - this.#outputTokens() - cachedTokens),
      ...(cacheReadTokens !== undefined && { cacheReadTokens }),
      ...(cacheWriteTokens !== undefined && { cacheWriteTokens })
    }
  }

  #outputTokens(): number {
    const told = countOf(this.#toldCounts().outputTokens)
    return told ?? this.#answer.total() + this.#reasoning.total()
  }

  #toldCounts(): TokenUsage {
    return sumOf(this.#counts) > 0 ? this.#counts : {}
  }
}

/** Counts text that comes in small pieces as if it came whole, without keeping it. */
class TokenCount {
  readonly #weigh: UsageMeterOptions['weigh']
  #chars = 0
  #extraBytes = 0

  constructor(weigh: UsageMeterOptions['weigh']) {
    this.#weigh = weigh
  }

  add(text: string): void {
    this.#chars += text.length
    this.#extraBytes += Buffer.byteLength(text) - text.length
  }

  total(): number {
    return this.#chars === 0 ? 0 : Math.ceil(this.#weigh(this.#chars, this.#extraBytes))
  }
}

function countOf(tokens: number | undefined): number | undefined {
  const isCount = tokens !== undefined && tokens >= 0 && tokens <= MaxTokens
  return isCount ? Math.floor(tokens) : undefined
}

function sumOf(counts: TokenUsage): number {
  return Object.values(counts).reduce<number>((sum, tokens) => sum + (countOf(tokens) ?? 0), 0)
}

/**
 * Cuts an answer at the client's token limit, which the upstream keeps roughly or not at all. Counts
 * fractions, so that the result does not depend on the pieces.
 */
export class AnswerLimit implements TextStage {
  readonly #maxTokens: number
  readonly #onReached: () => void
  /** UTF-16 units, and UTF-8 bytes beyond them: whole numbers add up without loss. */
  #chars = 0
  #extraBytes = 0
  #isReached = false

  /** `onReached`: something did not fit, and the answer ends here. */
  constructor(maxTokens: number | undefined, onReached: () => void) {
    this.#maxTokens = maxTokens ?? Number.POSITIVE_INFINITY
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
    const chars = this.#chars + text.length
    const extraBytes = this.#extraBytes + Buffer.byteLength(text) - text.length
    if (tokensOf(chars, extraBytes) > this.#maxTokens) return false
    this.#chars = chars
    this.#extraBytes = extraBytes
    return true
  }
}

const USAGE_MEMBERS = [
  'inputTokens',
  'outputTokens',
  'cacheReadTokens',
  'cacheWriteTokens',
  'reasoningTokens',
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
