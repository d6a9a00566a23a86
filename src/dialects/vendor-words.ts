import { isJsonObject, type JsonObject } from '../kiro/json-object.ts'

/** Members that have words for one line together. */
const LINE_MEMBERS = ['title', 'url', 'tool_name', 'text'] as const

/** Members that have lines of their own: words, or more of the same. */
const NESTED_MEMBERS = [
  'stdout',
  'stderr',
  'error_message',
  'lines',
  'source',
  'content',
  'tool_references',
  'tabs'
] as const

/** What there is to read in a block of a vendor's own tool, whichever of their shapes it has; `''` if there is nothing. */
export function wordsOf(value: unknown): string {
  const lines: string[] = []
  addLines(value, lines)
  return lines.join('\n')
}

function addLines(value: unknown, lines: string[]): void {
  if (typeof value === 'string') addLine(value, lines)
  else if (Array.isArray(value)) for (const one of value) addLines(one, lines)
  else if (isJsonObject(value)) addLinesOfObject(value, lines)
}

function addLinesOfObject(value: JsonObject, lines: string[]): void {
  const { error_code: code, encrypted_content: content, type, data } = value
  // Ours is what the page says; the vendor's is one long word that only the vendor can read.
  const excerpt = typeof content === 'string' && content.includes(' ') ? content : ''
  const words = [...LINE_MEMBERS.map((name) => textOf(value[name])), excerpt]
  addLine(words.filter((word) => word !== '').join(' '), lines)
  if (typeof code === 'string') lines.push(`It failed: ${code}`)
  if (type === 'text') addLine(textOf(data), lines)
  for (const name of NESTED_MEMBERS) addLines(value[name], lines)
}

function addLine(line: string, lines: string[]): void {
  if (line !== '') lines.push(line)
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
