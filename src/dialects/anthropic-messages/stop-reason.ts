import type { EndReason } from '../stream-part.ts'

/** Anthropic's words for why an answer ended (kiro-protocol §10.1). */
export const StopReasons = {
  stop: 'end_turn',
  tool: 'tool_use',
  length: 'max_tokens',
  context: 'model_context_window_exceeded',
  'stop-sequence': 'stop_sequence',
  filter: 'refusal',
  pause: 'pause_turn'
} as const satisfies Record<EndReason, string>
