import { asJsonObject, type JsonObject } from '../../src/shared/json.ts'
import type { RequestView } from '../../src/simulator/request-view.ts'
import { firstRefusal, invalidBody, type StrictRefusal } from './refusals.ts'

export function checkReasoning({ history }: RequestView): StrictRefusal | null {
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
