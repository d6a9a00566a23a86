import type { UpstreamPayload } from '../wire/payload.ts'
import { type ConversationParts, isLearnt, type Lessons } from './conversation-memory.ts'
import { rememberedPaths, type RequestFields, withoutFields } from './refused-fields.ts'
import { withoutReasoning } from './signed-reasoning.ts'

export interface RefusedBefore {
  /** `CredentialSnapshot.id` */
  readonly account: string
  readonly lessons: Lessons
}

export interface LeftOut {
  readonly reasoning: boolean
  readonly fields: readonly string[]
}

interface SentParts {
  readonly replay?: ConversationParts
  readonly fields?: RequestFields
}

export function leaveOutRefused(
  payload: UpstreamPayload,
  { replay, fields }: SentParts,
  { model, account, lessons }: RefusedBefore & { readonly model: string }
): { readonly payload: UpstreamPayload; readonly leftOut: LeftOut } {
  const isRefused = (parts: ConversationParts): boolean => isLearnt(lessons, parts)
  const reasoning = replay !== undefined && isRefused(replay)
  const refused = fields === undefined ? [] : rememberedPaths({ account, model }, fields, isRefused)
  const thoughtless = reasoning ? withoutReasoning(payload) : payload
  return {
    payload: refused.length > 0 ? withoutFields(thoughtless, refused) : thoughtless,
    leftOut: { reasoning, fields: refused }
  }
}
