import type { EndReason } from '../stream-part.ts'

export type IncompleteReason = 'max_output_tokens' | 'content_filter'

/** Why a response is not complete, by why the answer ended; `null` where it is (kiro-protocol §10.1). */
export const IncompleteReasons = {
  stop: null,
  tool: null,
  length: 'max_output_tokens',
  context: 'max_output_tokens',
  'stop-sequence': null,
  filter: 'content_filter',
  pause: null
} as const satisfies Record<EndReason, IncompleteReason | null>
