import type { Frame } from '../frames/frame-decoder.ts'

/**
 * What the upstream says, one frame at a time (kiro-protocol §5.3). Events that nobody acts on are
 * `ignored` with their type, so that they can be counted.
 */
export type UpstreamEvent =
  | { readonly type: 'text'; readonly text: string; readonly modelId?: string }
  | {
      readonly type: 'reasoning'
      readonly text?: string
      readonly signature?: string
      readonly redacted?: string
    }
  | {
      readonly type: 'tool'
      readonly id: string
      readonly name: string
      /** A fragment of the arguments' JSON text, or the whole arguments as an object. */
      readonly input?: string | Readonly<Record<string, unknown>>
      readonly stop: boolean
    }
  | {
      readonly type: 'metadata'
      readonly stopReason?: string
      readonly tokenUsage?: TokenUsage
    }
  | { readonly type: 'context-usage'; readonly percentage: number }
  | { readonly type: 'metering'; readonly credits: number }
  | {
      readonly type: 'exception'
      readonly name: string
      readonly message: string
      readonly reason?: string
    }
  | { readonly type: 'ignored'; readonly eventType: string }

/** Token counts of `metadataEvent`; any member may be missing, later frames add to earlier ones. */
export interface TokenUsage {
  readonly uncachedInputTokens?: number
  readonly cacheReadInputTokens?: number
  readonly cacheWriteInputTokens?: number
  readonly outputTokens?: number
  readonly totalTokens?: number
}

/** Gives a frame its type. Unknown types, headers and members never throw. */
export function parseUpstreamEvent(_frame: Frame): UpstreamEvent {
  throw new Error('not written')
}
