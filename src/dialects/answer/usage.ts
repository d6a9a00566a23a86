import { tokensOf } from '../../kiro/models/tokens.ts'
import type { TokenUsage } from '../../kiro/wire/event.ts'
import type { ReplyPlan } from '../plan/plan.ts'
import type { Usage } from './stream-part.ts'
import type { TextStage } from './text-stages.ts'

export interface UsageMeterOptions extends Pick<ReplyPlan, 'inputTokens' | 'contextWindow'> {
  /** Tokens of a text by its lengths: UTF-16 units, and the UTF-8 bytes that go beyond them. */
  readonly weigh: (chars: number, extraBytes: number) => number
}

/** Larger figures are errors of the upstream: clients compact by them, and metrics add them up. */
const MaxTokens = 100_000_000
const MaxPercentage = 1000
const MaxCredits = 1_000_000

/**
 * Adds up what one answer cost (kiro-protocol §6). Counts of the upstream win, then its percentage of
 * the window less the local count of the answer, then the local estimate of the request. Never
 * negative, never an input of zero, and cache counts only where the upstream gave some.
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

  /** Adds a further metering, but an answer never costs more than one metering may report. */
  addCredits(credits: number): void {
    if (!(credits >= 0 && credits <= MaxCredits)) return // false for NaN
    this.#credits = Math.min(MaxCredits, (this.#credits ?? 0) + credits)
  }

  /** Credits of the answer so far; `null` before the upstream reports any. */
  get credits(): number | null {
    return this.#credits ?? null
  }

  /** Tokens of what was said, by the local estimate alone. */
  get saidTokens(): number {
    return this.#answer.total() + this.#reasoning.total()
  }

  /** Later frames add to earlier ones, member by member. */
  addCounts(counts: TokenUsage): void {
    this.#counts = { ...this.#counts, ...counts }
  }

  setPercentage(percentage: number): void {
    if (percentage >= 0 && percentage <= MaxPercentage) this.#percentage = percentage
  }

  /** The window of the model that answers, once it is known to be another one than planned. */
  setContextWindow(tokens: number): void {
    this.#contextWindow = tokens
  }

  /** The input window is used up. */
  get isWindowFull(): boolean {
    return this.#percentage >= 100
  }

  /** `maxOutputTokens`: where the answer was cut there, what the model had said beyond it is not the client's. */
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

  /** Tokens of the request, cached ones included, as the upstream tells them; null while it has told nothing. */
  measuredInput(): number | null {
    const { inputTokens, cacheReadTokens, cacheWriteTokens } = this.#toldInput()
    const tokens = inputTokens + (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0)
    return tokens > 0 ? tokens : null
  }

  /** 0 where the upstream told nothing. */
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

/** Counts text that comes in small pieces, by what they come to together: none of it is kept. */
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

/** A count as the upstream gave it, unless it is implausible (negative, beyond any model). */
function countOf(tokens: number | undefined): number | undefined {
  const isCount = tokens !== undefined && tokens >= 0 && tokens <= MaxTokens
  return isCount ? Math.floor(tokens) : undefined
}

function sumOf(counts: TokenUsage): number {
  return Object.values(counts).reduce<number>((sum, tokens) => sum + (countOf(tokens) ?? 0), 0)
}

/**
 * The client's bound on an answer in tokens, kept by cutting: the upstream has none, or a coarser one.
 * Tokens are the local estimate's, fractions included, so how the answer was cut into pieces makes no difference.
 */
export class AnswerLimit implements TextStage {
  readonly #maxTokens: number
  readonly #onReached: () => void
  /** UTF-16 units, and UTF-8 bytes beyond them: whole numbers, so that nothing is lost in adding up. */
  #chars = 0
  #extraBytes = 0
  #isReached = false

  /** Without a bound everything fits. `onReached`: something did not fit, and the answer ends here. */
  constructor(maxTokens: number | undefined, onReached: () => void) {
    this.#maxTokens = maxTokens ?? Number.POSITIVE_INFINITY
    this.#onReached = onReached
  }

  get isNone(): boolean {
    return this.#maxTokens === Number.POSITIVE_INFINITY
  }

  /** As much of the text as fits. */
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

  /** Nothing is held. */
  release(): string {
    return ''
  }

  /** Takes what makes sense only as a whole; false if it does not fit. */
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

/** Adds the usage of several rounds of one answer; a count is known as soon as it is for one of them. */
export function addUsage(first: Usage | null, second: Usage): Usage {
  if (first === null) return second
  const sum: { -readonly [Name in keyof Usage]: Usage[Name] } = { ...first }
  for (const name of USAGE_MEMBERS) {
    const more = second[name]
    if (more !== undefined) sum[name] = (sum[name] ?? 0) + more
  }
  return sum
}
