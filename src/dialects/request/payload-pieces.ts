import type { UpstreamPayload } from '../../kiro/wire/payload.ts'
import { allocateWithHeadroom, shorten } from '../../shared/own-memory.ts'

export interface PayloadText {
  readonly bytes: Buffer<ArrayBuffer>
  readonly chars: number
  /** May contain halves of surrogate pairs, which JSON has as escapes. */
  readonly maySplit: boolean
}

/** JSON text of a list of tools that was written before. */
export interface ToolsText {
  readonly bytes: Uint8Array
  readonly chars: number
}

export const LONE_SURROGATE = '\\ud'

const MAX_UTF8_BYTES = 3

/** End of the text of some history entries. */
export interface TextPlace {
  readonly bytes: number
  readonly chars: number
}

/**
 * Writes `JSON.stringify(payload)` message by message: two thirds of the time for 400 KB, since V8 asks the
 * kernel for memory for each string of that size. `null` if it would exceed `maxBytes`. `onEntries` is told where so many
 * entries of the history end, beginning with none. `tools`: text to be written for the payload's.
 */
export function writePieces(
  payload: UpstreamPayload,
  maxBytes: number,
  onEntries: (entries: number, place: TextPlace) => void = () => {},
  tools?: ToolsText
): PayloadText | null {
  const whole = allocateWithHeadroom(maxBytes)
  let bytes = 0
  let chars = 0
  let maySplit = false
  const onEntry = (entries: number): void => onEntries(entries, { bytes, chars })
  for (const piece of piecesOf(payload, onEntry, tools)) {
    const left = maxBytes - bytes
    if (typeof piece !== 'string') {
      if (piece.bytes.byteLength > left) return null
      whole.set(piece.bytes, bytes)
      bytes += piece.bytes.byteLength
      chars += piece.chars
      continue
    }
    const fits = piece.length * MAX_UTF8_BYTES <= left || Buffer.byteLength(piece) <= left
    if (!fits) return null
    bytes += whole.write(piece, bytes)
    chars += piece.length
    maySplit ||= piece.includes(LONE_SURROGATE)
  }
  return { bytes: shorten(whole, bytes), chars, maySplit }
}

type OnEntry = (entries: number) => void
type Pieces = Generator<string | ToolsText, void, undefined>

function* piecesOf(payload: UpstreamPayload, onEntry: OnEntry, tools?: ToolsText): Pieces {
  let before = '{'
  for (const [name, value] of Object.entries(payload)) {
    if (value === undefined) continue
    yield `${before}"${name}":`
    if (name === 'conversationState') yield* stateOf(payload, onEntry, tools)
    else yield JSON.stringify(value)
    before = ','
  }
  yield '}'
}

function* stateOf(
  { conversationState }: UpstreamPayload,
  onEntry: OnEntry,
  tools: ToolsText | undefined
): Pieces {
  let before = '{'
  for (const [name, value] of Object.entries(conversationState)) {
    if (value === undefined) continue
    yield `${before}"${name}":`
    if (name === 'history') yield* historyOf(conversationState, onEntry)
    else if (name === 'currentMessage' && tools !== undefined)
      yield* currentOf(conversationState.currentMessage, tools)
    else yield JSON.stringify(value)
    before = ','
  }
  yield '}'
}

/** Tools come first in the context, and that last in the message. */
function* currentOf(
  { userInputMessage }: UpstreamPayload['conversationState']['currentMessage'],
  tools: ToolsText
): Pieces {
  const { userInputMessageContext: context = {}, ...message } = userInputMessage
  const { tools: _written, ...rest } = context
  yield `{"userInputMessage":${JSON.stringify(message).slice(0, -1)},"userInputMessageContext":{"tools":`
  yield tools
  const results = JSON.stringify(rest).slice(1)
  yield `${results === '}' ? '' : ','}${results}}}`
}

function* historyOf(
  { history = [] }: UpstreamPayload['conversationState'],
  onEntry: OnEntry
): Pieces {
  let before = '['
  for (const [index, entry] of history.entries()) {
    yield before
    if (index === 0) onEntry(0)
    yield JSON.stringify(entry)
    onEntry(index + 1)
    before = ','
  }
  yield history.length === 0 ? '[]' : ']'
}
