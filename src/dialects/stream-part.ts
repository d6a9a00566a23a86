/**
 * Our own vocabulary for an answer, between the upstream's events and the clients' dialects
 * (kiro-protocol §10.1). A `PartReader` makes parts from events, a `Translator` makes dialect text.
 */
export type StreamPart =
  | { readonly type: 'reasoning'; readonly text: string }
  | { readonly type: 'signature'; readonly signature: string }
  | { readonly type: 'redacted'; readonly content: string }
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'tool-start'; readonly id: string; readonly name: string }
  /** A piece of the arguments' JSON text. */
  | { readonly type: 'tool-delta'; readonly json: string }
  | { readonly type: 'tool-end' }
  | {
      readonly type: 'end'
      readonly reason: EndReason
      readonly stopSequence?: string
      readonly usage: Usage
    }

/** Why an answer ended (kiro-protocol §10.1); each dialect has its own words for these. */
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

/**
 * Turns the parts of one answer into one client API's stream. Has state, serves one request.
 * Every method returns text to send, `''` for nothing.
 */
export interface Translator {
  push(part: StreamPart): string
  /** A failure after the first byte: the dialect's error event, never its end marker. */
  fail(error: Error): string
  /** Keeps a silent stream alive; never counts as part of the answer. */
  heartbeat(): string
}

/** Collects the parts of one answer into the body of a non-streaming reply. */
export interface Collector {
  push(part: StreamPart): void
  /** The JSON text of the whole answer; call once, after the `end` part. */
  toJson(): string
}
