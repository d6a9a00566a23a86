import { asJsonObject, type JsonObject } from '../shared/json.ts'
import { firstRefusal, invalidBody, type Refusal } from './refusal.ts'
import type { RequestView } from './request-view.ts'

export type Signer = (text: string) => string

export const SIGNATURE_REASON = 'THINKING_SIGNATURE_INVALID'
export const INVALID_SIGNATURE = 'Invalid `signature` in `thinking` block'

export function checkReasoning({ history }: RequestView): Refusal | null {
  return firstRefusal(history, ({ message }, index) => {
    const content = message['reasoningContent']
    if (content === undefined || readReasoning(content) !== null) return null
    return invalidBody('reasoning-signature', `the reasoning of history[${index}] has a flat form`)
  })
}

export function refuseReplay({ history }: RequestView): Refusal | null {
  const index = history.findIndex(({ message }) => message['reasoningContent'] !== undefined)
  if (index === -1) return null
  const message = `messages.${index}.content.0: ${INVALID_SIGNATURE}`
  return { status: 400, errorType: 'ValidationException', message, reason: SIGNATURE_REASON }
}

/** `{}` for opaque reasoning; `null` for an invalid shape. */
export function readReasoning(value: unknown): JsonObject | null {
  const content = asJsonObject(value)
  const [name, ...others] = Object.keys(content ?? {})
  if (content === null || others.length > 0) return null
  if (name === 'reasoningText') return asJsonObject(content[name])
  return name === 'redactedContent' && typeof content[name] === 'string' ? {} : null
}
