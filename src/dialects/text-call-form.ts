import { asJsonObject } from '../kiro/json-object.ts'
import type { UpstreamPayload } from '../kiro/payload.ts'

/** What must be known of a tool to tell whether a text is exactly a call of it. */
export interface TextCallForm {
  /** Parameter → whether its value stands as it is, or as JSON. */
  readonly parameters: Readonly<Record<string, 'text' | 'json'>>
  readonly required: readonly string[]
}

/** The forms of all tools on offer, by the names that the model knows. */
export function textCallFormsOf(payload: UpstreamPayload): Readonly<Record<string, TextCallForm>> {
  const { userInputMessageContext: context } =
    payload.conversationState.currentMessage.userInputMessage
  const tools = context?.tools ?? []
  return Object.fromEntries(
    tools.map(({ toolSpecification: { name, inputSchema } }) => [name, toForm(inputSchema.json)])
  )
}

function toForm(schema: Readonly<Record<string, unknown>>): TextCallForm {
  const properties = asJsonObject(schema['properties']) ?? {}
  const parameters = Object.entries(properties).map(
    ([name, property]) => [name, takesText(property) ? 'text' : 'json'] as const
  )
  const { required } = schema
  const names = Array.isArray(required) ? required : []
  return {
    parameters: Object.fromEntries(parameters),
    required: names.filter((name) => typeof name === 'string')
  }
}

function takesText(property: unknown): boolean {
  const type = asJsonObject(property)?.['type']
  return type === 'string' || (Array.isArray(type) && type.includes('string'))
}
