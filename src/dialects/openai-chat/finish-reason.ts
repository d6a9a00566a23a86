import type { EndReason } from '../stream-part.ts'

/** OpenAI's words for why an answer ended (kiro-protocol §10.1). */
export const FinishReasons = {
  stop: 'stop',
  tool: 'tool_calls',
  length: 'length',
  context: 'length',
  'stop-sequence': 'stop',
  filter: 'content_filter',
  pause: 'stop'
} as const satisfies Record<EndReason, string>
