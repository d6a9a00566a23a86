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
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return joinWords(value.map(wordsOf), '\n')
  return isJsonObject(value) ? wordsOfObject(value) : ''
}

function wordsOfObject(value: JsonObject): string {
  const { error_code: code, encrypted_content: content, type, data } = value
  // Ours is what the page says; the vendor's is one long word that only the vendor can read.
  const excerpt = typeof content === 'string' && content.includes(' ') ? content : ''
  const line = joinWords([...LINE_MEMBERS.map((name) => textOf(value[name])), excerpt], ' ')
  return joinWords(
    [
      line,
      typeof code === 'string' ? `It failed: ${code}` : '',
      type === 'text' ? textOf(data) : '',
      ...NESTED_MEMBERS.map((name) => wordsOf(value[name]))
    ],
    '\n'
  )
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function joinWords(words: readonly string[], separator: string): string {
  return words.filter((word) => word !== '').join(separator)
}
