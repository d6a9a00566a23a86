import { type JsonObject, parseJsonObject } from '../../shared/json.ts'

const FORM =
  'Your final answer must be one valid JSON value and nothing else: no words around it and no Markdown code fence. ' +
  'This does not keep you from calling tools before.'
const SCHEMA = ' It must match this JSON Schema:\n'

/** Asks the model for JSON, which the upstream has no member for. Without a schema any value will do. */
export function jsonInstruction(schema: unknown): string {
  if (schema === undefined || schema === null) return FORM
  return `${FORM}${SCHEMA}${JSON.stringify(schema)}`
}

/** Returns the schema of the last such instruction in a text, `{}` where any value will do, or null. */
export function instructedSchema(text: string): JsonObject | null {
  const at = text.lastIndexOf(FORM)
  if (at === -1) return null
  const [start, end] = [at + FORM.length, at + FORM.length + SCHEMA.length]
  if (text.slice(start, end) !== SCHEMA) return {}
  const [line = ''] = text.slice(end).split('\n', 1)
  return parseJsonObject(line) ?? {}
}
