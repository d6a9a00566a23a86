import { asJsonObject, type JsonObject } from '../shared/json.ts'
import { firstRefusal, invalidBody, type Refusal } from './refusal.ts'
import type { RequestView } from './request-view.ts'

export type Signer = (text: string) => string

export function checkReasoning({ history }: RequestView): Refusal | null {
  return firstRefusal(history, ({ message }, index) => {
    const content = message['reasoningContent']
    if (content === undefined || readReasoning(content) !== null) return null
    return invalidBody('reasoning-signature', `the reasoning of history[${index}] has a flat form`)
  })
}

/** `{}` for opaque reasoning; `null` for an invalid shape. */
export function readReasoning(value: unknown): JsonObject | null {
  const content = asJsonObject(value)
  const [name, ...others] = Object.keys(content ?? {})
  if (content === null || others.length > 0) return null
  if (name === 'reasoningText') return asJsonObject(content[name])
  return name === 'redactedContent' && typeof content[name] === 'string' ? {} : null
}
