import type { UpstreamPayload } from '../../kiro/wire/payload.ts'
import { allocateWithHeadroom, shorten } from '../../shared/own-memory.ts'

/** A payload as JSON text. */
export interface PayloadText {
  readonly bytes: Buffer<ArrayBuffer>
  /** UTF-16 units of the text. */
  readonly chars: number
  /** True if it may contain halves of surrogate pairs, which JSON has as escapes. */
  readonly maySplit: boolean
}

/** Beginning of such an escape. */
export const LONE_SURROGATE = '\\ud'

/** Most bytes that a UTF-16 unit takes in UTF-8. */
const MAX_UTF8_BYTES = 3

/**
 * Writes the text that `JSON.stringify(payload)` gives, message by message: of 400 KB that takes two thirds of the time,
 * since a string of that size has memory of its own, for which the kernel is asked each time. `null` where it would take
 * more than `maxBytes`.
 */
export function writePieces(payload: UpstreamPayload, maxBytes: number): PayloadText | null {
  const whole = allocateWithHeadroom(maxBytes)
  let bytes = 0
  let chars = 0
  let maySplit = false
  for (const piece of piecesOf(payload)) {
    const left = maxBytes - bytes
    const fits = piece.length * MAX_UTF8_BYTES <= left || Buffer.byteLength(piece) <= left
    if (!fits) return null
    bytes += whole.write(piece, bytes)
    chars += piece.length
    maySplit ||= piece.includes(LONE_SURROGATE)
  }
  return { bytes: shorten(whole, bytes), chars, maySplit }
}

function* piecesOf(payload: UpstreamPayload): Generator<string, void, undefined> {
  let before = '{'
  for (const [name, value] of Object.entries(payload)) {
    if (value === undefined) continue
    yield `${before}"${name}":`
    if (name === 'conversationState') yield* stateOf(payload)
    else yield JSON.stringify(value)
    before = ','
  }
  yield '}'
}

function* stateOf({ conversationState }: UpstreamPayload): Generator<string, void, undefined> {
  let before = '{'
  for (const [name, value] of Object.entries(conversationState)) {
    if (value === undefined) continue
    yield `${before}"${name}":`
    if (name === 'history') yield* historyOf(conversationState)
    else yield JSON.stringify(value)
    before = ','
  }
  yield '}'
}

function* historyOf({
  history = []
}: UpstreamPayload['conversationState']): Generator<string, void, undefined> {
  let before = '['
  for (const entry of history) {
    yield before
    yield JSON.stringify(entry)
    before = ','
  }
  yield history.length === 0 ? '[]' : ']'
}
