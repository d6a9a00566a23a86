import { asJsonObject } from '../shared/json.ts'
import type { RequestView, UserTurn } from './request-view.ts'
import { withoutControlWords } from './words.ts'

const QUOTED_CHARS = 160
const FILLER =
  'The simulator keeps talking so that the stream has enough events to look at, word by word. '
const FILLER_WORDS = spokenWords(FILLER)
/** Blocks added by clients, such as `<system-reminder>`. HTML elements have no such names. */
const TAGGED_BLOCK = /<([a-z]+[_-][\w-]*)>[\s\S]*?<\/\1>/g
/** Blocks and the line that OpenClaw adds behind the prompt. */
const MARKED_BLOCK = /<<<BEGIN_([A-Z_]+)>>>[\s\S]*?<<<END_\1>>>|^Runtime: agent=.*$/gm
/**
 * System messages that Claude Code sends behind a prompt, which the gateway joins to it (kiro-protocol §4.8). Before a
 * reminder the first of them is a part of the system text.
 */
const FIRST_ADDITION =
  /^# Environment\nYou have been invoked in the following environment:(?![\s\S]*<system-reminder>\n)[\s\S]*/m
const LATER_ADDITION =
  /\n(?:#{1,3} [A-Z]|The following [a-z -]+ (?:are|is) |Available agent types |Plan mode (?:is|still) |While auto mode is |Today's date )[\s\S]*/

const REMINDER_END = '</system-reminder>'

/** Returns what a person wrote last: the last paragraph of a turn without what clients add. */
export function lastWords(content: string, earlierTurns = 0): string {
  // A block ends a paragraph.
  const bare = withoutAdditions(content, earlierTurns)
    .replace(TAGGED_BLOCK, '\n\n')
    .replace(MARKED_BLOCK, '\n\n')
    .trim()
  const paragraphs = (bare === '' ? content : bare).split(/\n{2,}/)
  const last = paragraphs.findLast((paragraph) => paragraph.trim() !== '') ?? ''
  return withoutControlWords(last)
}

/** Returns the last words of the turn that is answered, which may be an earlier one: `sim:rounds` repeats its prompt. */
export function lastWordsOf({
  history,
  current
}: Pick<RequestView, 'history' | 'current'>): string {
  const { content } = current
  const origin = history.findIndex((turn) => turn.role === 'user' && turn.content === content)
  return lastWords(content, origin === -1 ? history.length : origin)
}

/** In a first turn the system text comes before the last reminder, or before the first addition. */
function withoutAdditions(content: string, earlierTurns: number): string {
  const end = content.lastIndexOf(REMINDER_END)
  const behind = end === -1 ? '' : content.slice(end + REMINDER_END.length)
  const own = behind.replace(LATER_ADDITION, '')
  if (own.trim() !== '') return own
  return content.replace(earlierTurns === 0 ? FIRST_ADDITION : LATER_ADDITION, '')
}

export function spokenAnswer(current: UserTurn, earlierTurns: number): string {
  return withDocuments(spokenOf(current, earlierTurns), current.documents)
}

function withDocuments(text: string, documents: readonly unknown[]): string {
  if (documents.length === 0) return text
  const names = documents.map((one) => {
    const { name, format } = asJsonObject(one) ?? {}
    return `"${String(name)}" (${String(format)})`
  })
  return `${text} It received ${documents.length} document(s): ${names.join(', ')}.`
}

function spokenOf(current: UserTurn, earlierTurns: number): string {
  const results = current.toolResults.map(resultText)
  if (results.length > 0) {
    const quotes = results.map((result) => `"${quote(result)}"`).join(', and ')
    return `The simulator received ${results.length} tool result(s): ${quotes}. That is all it needed.`
  }
  const turns =
    earlierTurns === 0 ? 'This is our first turn' : `${earlierTurns} messages came before`
  return (
    `This is the built-in simulator, not a model. You wrote: "${quote(lastWords(current.content, earlierTurns))}". ` +
    `${turns}, and nothing was sent to Kiro.`
  )
}

export function spokenWords(text: string): string[] {
  return text.match(/\s*\S+\s*$|\s*\S+\s?|\s+/g) ?? []
}

/** Applies `sim:events` and `sim:size`: `size` alone cuts, `events` alone fills up. Never splits characters. */
export function shapeDeltas(
  text: string,
  shape: { readonly events: number | undefined; readonly size: number | undefined }
): Iterable<string> {
  const { events, size } = shape
  if (events !== undefined) return filledDeltas(spokenWords(text), events, size)
  return size === undefined ? spokenWords(text) : piecesOf(text, size)
}

function* filledDeltas(
  words: readonly string[],
  events: number,
  size: number | undefined
): Generator<string> {
  const fillers = FILLER_WORDS.map((word) => fit(word, size))
  for (let i = 0; i < events; i++) {
    const word = words[i]
    yield word === undefined
      ? (fillers[(i - words.length) % fillers.length] ?? '')
      : fit(word, size)
  }
}

function fit(word: string, size: number | undefined): string {
  if (size === undefined) return word
  const { value } = piecesOf(word.padEnd(size, FILLER), size).next()
  return value ?? ''
}

export function divideText(text: string, events: number): string[] {
  const size = Math.max(1, Math.ceil(Array.from(text).length / Math.max(1, events)))
  return [...piecesOf(text, size)]
}

export function* piecesOf(text: string, size: number): Generator<string, undefined> {
  for (let from = 0; from < text.length; ) {
    let to = from
    for (let chars = Math.max(1, size); chars > 0 && to < text.length; chars--) {
      to += (text.codePointAt(to) ?? 0) > 0xffff ? 2 : 1
    }
    yield text.slice(from, to)
    from = to
  }
}

function resultText(value: unknown): string {
  const parts = asJsonObject(value)?.['content']
  if (!Array.isArray(parts)) return ''
  return parts
    .map((part) => {
      const { text, json } = asJsonObject(part) ?? {}
      return typeof text === 'string' ? text : JSON.stringify(json)
    })
    .join('\n')
}

function quote(text: string): string {
  const characters = Array.from(text.replaceAll(/\s+/g, ' ').trim())
  if (characters.length <= QUOTED_CHARS) return characters.join('')
  return `${characters.slice(0, QUOTED_CHARS).join('')}…`
}
