import type { ReasoningContent } from '../../kiro/wire/payload.ts'
import type { FoundPage } from '../../kiro/wire/web-search.ts'
import { wholeCharsEnd } from './output-text.ts'

/** Parts of an answer: `PartReader` makes them from events, `AnswerWriter` writes them in a client's dialect. */
export type StreamPart =
  | { readonly type: 'reasoning'; readonly text: string }
  | { readonly type: 'signature'; readonly signature: string }
  | { readonly type: 'redacted'; readonly content: ReasoningContent }
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'tool-start'; readonly id: string; readonly name: string }
  | { readonly type: 'tool-delta'; readonly json: string }
  /** `isCut`: the arguments broke off, and the call must not look complete. */
  | { readonly type: 'tool-end'; readonly isCut?: true }
  | {
      readonly type: 'search'
      readonly id: string
      readonly query: string
      readonly results: readonly FoundPage[]
      readonly problem?: string
    }
  | {
      readonly type: 'end'
      readonly reason: EndReason
      readonly stopSequence?: string
      readonly usage: Usage
    }

export type SearchPart = Extract<StreamPart, { type: 'search' }>
export type EndPart = Extract<StreamPart, { type: 'end' }>

export type EndReason =
  | 'stop'
  | 'tool'
  | 'length'
  | 'context'
  | 'stop-sequence'
  | 'filter'
  | 'pause'

/** Tokens of one answer. `inputTokens` leaves out cached ones where the upstream counts them apart. */
export interface Usage {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cacheReadTokens?: number
  readonly cacheWriteTokens?: number
  readonly reasoningTokens?: number
  /** The upstream's own prompt, which is in none of the others; missing while it cannot be told apart. */
  readonly hiddenTokens?: number
  /** Tokens by which the input may be off; missing if the model was never measured. */
  readonly inputWithin?: number
  readonly credits?: number
}

export interface CompleteCall {
  readonly id: string
  readonly name: string
  readonly json: string
}

const MaxSliceChars = 1024

export function toDeltas(json: string): readonly StreamPart[] {
  const parts: StreamPart[] = []
  for (let from = 0; from < json.length; ) {
    const slice = json.slice(from, from + MaxSliceChars)
    const isLast = from + slice.length === json.length
    // Each piece must be valid text by itself.
    const piece = isLast ? slice : slice.slice(0, wholeCharsEnd(slice))
    parts.push({ type: 'tool-delta', json: piece })
    from += piece.length
  }
  return parts
}
