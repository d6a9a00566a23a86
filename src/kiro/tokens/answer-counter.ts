import { familyOf } from './families.ts'
import { type GroupTokens, groupsOfText } from './request-tokens.ts'
import { type CounterState, TextCounter } from './text-counter.ts'

/** Counter of an answer's words. */
export interface AnswerCounter {
  add(text: string): void
  /** Tokens so far, with fractions. */
  readonly tokens: number
  readonly groups: GroupTokens
  readonly state: CounterState
  restore(state: CounterState): void
}

/** Factors of words, symbols, space and wide characters, as a gauge has learnt them. */
export type TextScale = readonly number[]

/** Counts what a model says, in its own tokens: `scale` is what was learnt of it. */
export class ModelCounter implements AnswerCounter {
  readonly #text: TextCounter
  readonly #ratio: number
  readonly #scale: TextScale

  constructor(modelId: string, scale: TextScale = []) {
    const { table, ratio } = familyOf(modelId)
    this.#text = new TextCounter(table)
    this.#ratio = ratio
    this.#scale = scale
  }

  add(text: string): void {
    this.#text.add(text)
  }

  get tokens(): number {
    const { words, symbols, space, wide } = this.#text
    const [ofWords = 1, ofSymbols = 1, ofSpace = 1, ofWide = 1] = this.#scale
    const corrected = words * ofWords + symbols * ofSymbols + space * ofSpace + wide * ofWide
    return this.#ratio * corrected
  }

  get groups(): GroupTokens {
    return groupsOfText(this.#text, this.#ratio)
  }

  get state(): CounterState {
    return this.#text.state
  }

  restore(state: CounterState): void {
    this.#text.restore(state)
  }
}

/** Tokens of a whole text, at least 1 for any. */
export function countTextTokens(modelId: string, text: string, scale?: TextScale): number {
  const counter = new ModelCounter(modelId, scale)
  counter.add(text)
  return text === '' ? 0 : Math.max(1, Math.ceil(counter.tokens))
}
