import { asJsonObject } from '../kiro/json-object.ts'
import type { UpstreamPayload } from '../kiro/payload.ts'

/** What must be known of a tool to tell whether a text is exactly a call of it. */
export interface TextCallForm {
  /** Parameter → whether its value stands as it is, or as JSON. */
  readonly parameters: Readonly<Record<string, 'text' | 'json'>>
  readonly required: readonly string[]
}

/**
 * Characters of parameters' names that are remembered for as long as the answer lasts: 100 tools with 10 parameters
 * have some 15,000. A call of a tool beyond that is not recognised in a text.
 */
const MAX_NAME_CHARS = 65_536
/** What a name takes beside its characters, in characters. */
const NAME_OVERHEAD_CHARS = 16

/** The forms of the tools on offer, by the names that the model knows. */
export function textCallFormsOf(payload: UpstreamPayload): Readonly<Record<string, TextCallForm>> {
  const { userInputMessageContext: context } =
    payload.conversationState.currentMessage.userInputMessage
  const forms: [name: string, form: TextCallForm][] = []
  let chars = 0
  for (const { toolSpecification } of context?.tools ?? []) {
    const form = toForm(toolSpecification.inputSchema.json)
    const more = charsOf([...Object.keys(form.parameters), ...form.required])
    if (chars + more > MAX_NAME_CHARS) continue
    chars += more
    forms.push([toolSpecification.name, form])
  }
  return Object.fromEntries(forms)
}

function charsOf(names: readonly string[]): number {
  return names.reduce((sum, name) => sum + name.length + NAME_OVERHEAD_CHARS, 0)
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
