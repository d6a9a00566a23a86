import { createHash } from 'node:crypto'
import type { JsonObject } from '../kiro/json-object.ts'
import type { FoundWords } from './control-words.ts'
import type { RequestView } from './request-view.ts'
import type { Step } from './script.ts'
import { piecesOf } from './spoken-text.ts'
import type { WishedCall } from './tool-wish.ts'

/** Lengths of argument fragments, used in turn: some end inside a key, a number or an escape. */
const FRAGMENT_CHARS = [3, 1, 7, 2, 5, 11]
/** Arguments this long are cut into pieces this much larger, as the upstream does. */
const LONG_ARGUMENTS = 400
const LONG_FACTOR = 20

interface ToolContext {
  readonly view: RequestView
  readonly words: FoundWords
}

/** The events of all tool calls, one after the other (kiro-protocol §5.5). */
export function* toolSteps(calls: readonly WishedCall[], context: ToolContext): Generator<Step> {
  const { flags } = context.words
  for (const [index, call] of calls.entries()) {
    const head = { name: call.name, toolUseId: toolUseId(context.view, index) }
    const isCut = flags.has('truncated-tool') && index === calls.length - 1
    yield toolEvent(head)
    const input = fillUp(call.input, context.words.numbers.arguments)
    if (flags.has('tool-object')) yield toolEvent({ ...head, input })
    else yield* fragmentSteps(head, argumentsText(input, isCut), context.words.numbers.piece)
    if (isCut || flags.has('tool-no-stop')) continue
    yield toolEvent({ ...head, stop: true })
    if (flags.has('ghost-tool')) yield* ghostSteps(head)
  }
}

/** Cuts text anywhere but inside a character, and always after the first backslash. */
export function fragmentsOf(text: string): string[] {
  const characters = Array.from(text)
  const factor = characters.length > LONG_ARGUMENTS ? LONG_FACTOR : 1
  const escape = characters.indexOf('\\')
  const fragments: string[] = []
  for (let at = 0, turn = 0; at < characters.length; turn++) {
    const length = (FRAGMENT_CHARS[turn % FRAGMENT_CHARS.length] ?? 1) * factor
    const crossesEscape = at <= escape && escape < at + length
    const end = crossesEscape ? escape + 1 : at + length
    fragments.push(characters.slice(at, end).join(''))
    at = end
  }
  return fragments
}

type ToolHead = { readonly name: string; readonly toolUseId: string }

function* fragmentSteps(
  head: ToolHead,
  text: string,
  pieceChars: number | undefined
): Generator<Step> {
  const fragments = pieceChars === undefined ? fragmentsOf(text) : piecesOf(text, pieceChars)
  for (const input of fragments) yield toolEvent({ ...head, input })
}

/** Numbered lines with quotes, backslashes and wide characters, so that what is lost or swapped shows. */
export function fillerText(chars: number): string {
  const lines: string[] = []
  for (let length = 0; length < chars; length += lines.at(-1)?.length ?? 0) {
    lines.push(`${lines.length}: "a\\b" é 世 😀\n`)
  }
  return lines
    .join('')
    .slice(0, chars)
    .replace(/[\ud800-\udbff]$/, '.')
}

/** `chars`: of the last text among the arguments. */
function fillUp(input: JsonObject, chars: number | undefined): JsonObject {
  const name = Object.keys(input).findLast((key) => typeof input[key] === 'string')
  if (chars === undefined || name === undefined) return input
  return { ...input, [name]: fillerText(chars) }
}

/** No arguments at all are sent as no fragment, not as `{}`. */
function argumentsText(input: JsonObject, isCut: boolean): string {
  if (Object.keys(input).length === 0 && !isCut) return ''
  const text = JSON.stringify(input)
  return isCut ? text.slice(0, Math.ceil(text.length / 2)) : text
}

/** The same call once more, empty: clients must not run it again. */
function* ghostSteps(head: ToolHead): Generator<Step> {
  yield toolEvent(head)
  yield toolEvent({ ...head, input: '{}' })
  yield toolEvent({ ...head, stop: true })
}

/** The same request gets the same ids; another turn of the same conversation gets others. */
function toolUseId(view: RequestView, index: number): string {
  const seed = JSON.stringify([view.history.length, view.current.content, index])
  return `tooluse_${createHash('sha256').update(seed).digest('base64url').slice(0, 22)}`
}

function toolEvent(payload: object): Step {
  return { type: 'event', name: 'toolUseEvent', payload }
}
