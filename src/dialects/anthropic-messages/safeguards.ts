import { isJsonObject } from '../../kiro/json-object.ts'
import type { ReplyPlan } from '../reply-plan.ts'

/** More kinds than there are; what a client repeats or invents beyond is not answered. */
const MAX_KINDS = 16
const MAX_KIND_CHARS = 100

/** The kinds of safety verdict that a request asks for, each once; what is no safeguard is passed over. */
export function safeguardTypesOf(safeguards: unknown): readonly string[] {
  if (!Array.isArray(safeguards)) return []
  const kinds = safeguards.flatMap((one: unknown) => {
    const kind = isJsonObject(one) ? one['type'] : undefined
    return typeof kind === 'string' && kind.length <= MAX_KIND_CHARS ? [kind] : []
  })
  return [...new Set(kinds)].slice(0, MAX_KINDS)
}

/**
 * The verdicts, as a member beside the stop reason: nothing here judges tool calls, and saying so lets Claude Code ask
 * its user. A verdict that nobody has made would be worse than none (kiro-protocol §11.3).
 */
export function safeguardMembers({ safeguards }: Pick<ReplyPlan, 'safeguards'>): object {
  if (safeguards === undefined) return {}
  return {
    safeguard_results: safeguards.map((type) => ({ type, status: { type: 'unsupported' } }))
  }
}
