import { itemReferencesOf as ofResponses } from './openai-responses/item-references.ts'
import type { DialectName } from './reply-plan.ts'

const NoReferences = (): readonly string[] => []

const Finders: Readonly<Record<DialectName, (body: Uint8Array) => readonly string[]>> = {
  'openai-chat': NoReferences,
  'openai-responses': ofResponses,
  'anthropic-messages': NoReferences
}

/** The ids of parts of earlier answers that a body refers to, each once; for `RequestOptions.answers`. */
export function itemReferencesOf(dialect: DialectName, body: Uint8Array): readonly string[] {
  return Finders[dialect](body)
}
