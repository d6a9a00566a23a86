import { isJsonObject, type JsonObject } from '../kiro/json-object.ts'
import { isBlank, type Source } from '../kiro/message.ts'
import type { Repairs } from '../kiro/repairs.ts'

/**
 * The arguments of a call as the object that the upstream wants (kiro-protocol §4.5). Objects come as they
 * are or as JSON text; what is neither is wrapped, so that nothing is lost and nothing is guessed.
 */
export function toToolInput(input: unknown, repairs: Repairs, source?: Source): JsonObject {
  if (isJsonObject(input)) return input
  if (input === undefined || input === null) return {}
  if (typeof input !== 'string') {
    repairs.note('tool-arguments-wrapped', source)
    return { value: input }
  }
  return isBlank(input) ? {} : ofText(input, repairs, source)
}

function ofText(text: string, repairs: Repairs, source: Source): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    repairs.note('tool-arguments-wrapped', source)
    return { _raw: text } // arguments that were cut short are still what the model said
  }
  if (isJsonObject(value)) return value
  repairs.note('tool-arguments-wrapped', source)
  return { value }
}
