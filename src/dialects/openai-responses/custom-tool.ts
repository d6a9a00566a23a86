import { joinText } from '../../kiro/message.ts'

/** What a custom tool becomes: a function with one text, which is the whole payload (kiro-protocol §10.3.1). */
export const CUSTOM_SCHEMA = {
  type: 'object',
  properties: { input: { type: 'string' } },
  required: ['input']
} as const

const INPUT_NOTE =
  'Put the entire raw payload of this tool, as plain text, into the string field "input".'

interface CustomTool {
  readonly description?: string | null
  readonly format?: {
    readonly type?: string | null
    readonly syntax?: string | null
    readonly definition?: string | null
  } | null
}

/** The client's description, how to call the tool, and the grammar that its payload must follow, if any. */
export function customDescription({ description, format }: CustomTool): string {
  const told = joinText(description ?? '', INPUT_NOTE, '\n\n')
  if (!format?.definition) return told
  const syntax = format.syntax ? `${format.syntax} grammar` : 'grammar'
  return `${told} The payload must follow this ${syntax}:\n\n${format.definition}`
}
