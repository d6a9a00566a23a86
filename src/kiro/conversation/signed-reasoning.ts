import { type JsonObject, parseJsonObject } from '../../shared/json.ts'
import type { KeptReasoning, Message } from '../wire/message.ts'
import type { HistoryEntry, ReasoningContent, UpstreamPayload } from '../wire/payload.ts'

export const MAX_SEALED_CHARS = 262_144

const PLAUSIBLE = /^[A-Za-z0-9+/_-]{62,}={0,2}$/
const MIN_SIGNATURE_CHARS = 64
const INVENTED = 'sig_'
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/

/** Filters foreign signatures, which make the upstream refuse the conversation (kiro-protocol §9.10). */
function isPlausible(signature: unknown): signature is string {
  return (
    typeof signature === 'string' &&
    signature.length >= MIN_SIGNATURE_CHARS &&
    signature.length <= MAX_SEALED_CHARS &&
    !signature.startsWith(INVENTED) &&
    PLAUSIBLE.test(signature)
  )
}

/** Marks sealed reasoning of this gateway. It needs no secret: the upstream checks the content. */
const SEAL = 'kgr1.'

export function sealReasoning(model: string, content: ReasoningContent): string {
  if ('redactedContent' in content) return seal({ m: model, d: content.redactedContent })
  const { text, signature } = content.reasoningText
  return seal({ m: model, t: text, s: signature })
}

function seal(members: JsonObject): string {
  return SEAL + Buffer.from(JSON.stringify(members)).toString('base64url')
}

export function openReasoning(word: unknown): KeptReasoning | null {
  if (typeof word !== 'string' || !word.startsWith(SEAL) || word.length > MAX_SEALED_CHARS) {
    return null
  }
  const opened = parseJsonObject(Buffer.from(word.slice(SEAL.length), 'base64url').toString())
  const { m: model, t: text, s: signature, d: redactedContent } = opened ?? {}
  if (typeof model !== 'string') return null
  if (typeof redactedContent === 'string' && BASE64.test(redactedContent)) {
    return { model, content: { redactedContent } }
  }
  if (typeof text !== 'string' || !isPlausible(signature)) return null
  return { model, content: { reasoningText: { text, signature } } }
}

/** Reads a `thinking` or `redacted_thinking` block; `null` if nothing in it can go back. */
export function readThinking({ thinking, signature, data }: JsonObject): KeptReasoning | null {
  if (data !== undefined) return openReasoning(data) ?? readForeign(data)
  if (!isPlausible(signature)) return null
  const text = typeof thinking === 'string' ? thinking : ''
  return { model: null, content: { reasoningText: { text, signature } } }
}

function readForeign(data: unknown): KeptReasoning | null {
  const isRead = typeof data === 'string' && data.length <= MAX_SEALED_CHARS && BASE64.test(data)
  return isRead ? { model: null, content: { redactedContent: data } } : null
}

/** Keeps all reasoning or none: a signature may be bound to the reasoning before it. */
export function chooseReplay(
  turns: readonly Message[],
  { modelId, canReplay }: { readonly modelId: string; readonly canReplay: boolean }
): readonly Message[] {
  const thought = turns.filter(({ reasoning }) => reasoning !== undefined)
  const fits = ({ role, reasoning }: Message): boolean =>
    role === 'assistant' && isKept(reasoning) && isOf(reasoning, modelId)
  if (canReplay && thought.every(fits)) return turns
  return turns.map((turn) => {
    if (turn.reasoning === undefined) return turn
    const { reasoning: _, ...said } = turn
    return said
  })
}

function isKept(reasoning: Message['reasoning']): reasoning is KeptReasoning {
  return reasoning !== undefined && reasoning !== null
}

function isOf({ model, content }: KeptReasoning, modelId: string): boolean {
  if (model !== null) return model === modelId
  return 'reasoningText' in content || modelId.startsWith('claude')
}

/** Signature of an entry's reasoning, or all of it where it is opaque: base64 that only the upstream reads. */
export function signatureOf(entry: HistoryEntry): string | undefined {
  const content = reasoningOf(entry)
  if (content === undefined) return undefined
  return 'redactedContent' in content ? content.redactedContent : content.reasoningText.signature
}

export function reasoningOf(entry: HistoryEntry): ReasoningContent | undefined {
  return 'assistantResponseMessage' in entry
    ? entry.assistantResponseMessage.reasoningContent
    : undefined
}

export function withoutReasoning(payload: UpstreamPayload): UpstreamPayload {
  const { conversationState: state } = payload
  if (state.history === undefined || !state.history.some(reasoningOf)) return payload
  const history = state.history.map((entry): HistoryEntry => {
    if (reasoningOf(entry) === undefined || !('assistantResponseMessage' in entry)) return entry
    const { reasoningContent: _, ...message } = entry.assistantResponseMessage
    return { assistantResponseMessage: message }
  })
  return { ...payload, conversationState: { ...state, history } }
}
