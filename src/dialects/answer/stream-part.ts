import type { ReasoningContent } from '../../kiro/wire/payload.ts'
import type { FoundPage } from '../../kiro/wire/web-search.ts'
import { wholeCharsEnd } from './output-text.ts'

/**
 * Our own vocabulary for an answer, between the upstream's events and the clients' dialects. A
 * `PartReader` makes parts from events, an `AnswerWriter` makes dialect text.
 */
export type StreamPart =
  | { readonly type: 'reasoning'; readonly text: string }
  | { readonly type: 'signature'; readonly signature: string }
  /** Reasoning that only the upstream can read. */
  | { readonly type: 'redacted'; readonly content: ReasoningContent }
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'tool-start'; readonly id: string; readonly name: string }
  /** A piece of the arguments' JSON text. */
  | { readonly type: 'tool-delta'; readonly json: string }
  /** `isCut`: the arguments broke off, so that the call must not look complete. */
  | { readonly type: 'tool-end'; readonly isCut?: true }
  /** A web search that the gateway made for the model, and what it found. */
  | {
      readonly type: 'search'
      /** 32 hexadecimal digits. */
      readonly id: string
      readonly query: string
      readonly results: readonly FoundPage[]
      /** Why there are no results, if it failed. */
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

/** Why an answer ended; each dialect has its own words for these. */
export type EndReason =
  | 'stop'
  | 'tool'
  | 'length'
  | 'context'
  | 'stop-sequence'
  | 'filter'
  | 'pause'

/** Tokens of one answer. `inputTokens` counts uncached ones only where the upstream tells them apart. */
export interface Usage {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cacheReadTokens?: number
  readonly cacheWriteTokens?: number
  readonly reasoningTokens?: number
  readonly credits?: number
}

/** A call whose arguments are whole: `json` is the text of a JSON object. */
export interface CompleteCall {
  readonly id: string
  /** As the client knows it. */
  readonly name: string
  readonly json: string
}

/** Longest piece of a call's arguments in one part, in UTF-16 units. */
const MaxSliceChars = 1024

/** Arguments in pieces of a size that clients like. */
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
