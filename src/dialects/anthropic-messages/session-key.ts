import { isJsonObject } from '../../kiro/json-object.ts'

const SESSION_SUFFIX = /session_([0-9a-f-]{36})$/i

/**
 * The session that `metadata.user_id` names: Claude Code sends JSON with a `session_id`, or a name that ends
 * in `session_{uuid}`. Any other id stands for itself.
 */
export function sessionKeyOf(userId: string | null | undefined): string | undefined {
  if (userId === undefined || userId === null || userId === '') return undefined
  const suffix = SESSION_SUFFIX.exec(userId)?.[1]
  return suffix ?? sessionIdOfJson(userId) ?? userId
}

function sessionIdOfJson(text: string): string | undefined {
  if (!text.startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(text)
    const id = isJsonObject(value) ? value['session_id'] : undefined
    return typeof id === 'string' && id !== '' ? id : undefined
  } catch {
    return undefined // some other name that happens to begin with a brace
  }
}
