import { textMember } from '../../kiro/json-object.ts'
import type { ResponsesBody } from './schema.ts'

/** What all requests of a session have in common: the key that clients give for caching, Codex's thread, the user. */
export function sessionKeyOf(body: ResponsesBody): string | undefined {
  const thread = textMember(body.client_metadata ?? {}, 'thread_id')
  return body.prompt_cache_key || thread || body.user || undefined
}
