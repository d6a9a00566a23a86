import type { EndReason } from './stream-part.ts'

/** What is known of an answer when it ends. */
export interface EndSigns {
  readonly isStopped: boolean
  readonly hasToolCall: boolean
  /** Something is missing: the upstream's limit was met, or a call was dropped. */
  readonly isCutOff: boolean
  readonly isWindowFull: boolean
  /** The upstream's word, `''` if it said none. */
  readonly stopReason: string
}

const StopReasons = new Map<string, EndReason>([
  ['MODEL_CONTEXT_WINDOW_EXCEEDED', 'context'],
  ['MAX_TOKENS', 'length'],
  ['CONTENT_FILTERED', 'filter'],
  ['PAUSE_TURN', 'pause']
])

/** Names the reason by the precedence of kiro-protocol §10.1; unknown words of the upstream are `stop`. */
export function toEndReason(signs: EndSigns): EndReason {
  if (signs.isStopped) return 'stop-sequence'
  if (signs.hasToolCall) return 'tool'
  const stated = StopReasons.get(signs.stopReason.toUpperCase()) ?? 'stop'
  if (signs.isWindowFull || stated === 'context') return 'context'
  return signs.isCutOff ? 'length' : stated
}
