import type { Repairs } from '../../kiro/rules/repairs.ts'
import { UpstreamLimits, weighBytes } from '../../kiro/rules/rules.ts'
import {
  type CountedEntries,
  countEntries,
  countRequest,
  type EntryCounts,
  type GroupTokens,
  type KnownEntries,
  leastFrameChars
} from '../../kiro/tokens/request-tokens.ts'
import { outlineOf, type UpstreamPayload } from '../../kiro/wire/payload.ts'
import { GatewayError } from '../../shared/errors.ts'
import { isEscapedAt, isJsonObject, parseJsonObject } from '../../shared/json.ts'
import { allocateWithHeadroom, freeIfLong, shorten } from '../../shared/own-memory.ts'
import {
  LONE_SURROGATE,
  type PayloadText,
  type TextPlace,
  type ToolsText,
  writePieces
} from './payload-pieces.ts'

export interface EncodedPayload {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly tokens: GroupTokens
  /** The upstream's weight of the body, see `weighBytes()`; its length while that is far from the limit. */
  readonly weight: number
  /** Left out where the text has none, or was written in one piece. */
  readonly history?: HistoryPlace
}

/** JSON text of the first entries of a history. */
export interface SettledText {
  readonly bytes: number
  readonly chars: number
  /** `null`: it is weighed again with each request that is not far from the limit. */
  readonly weight: number | null
  readonly counts: EntryCounts
  /** `null`: it is counted again with each request. */
  readonly counted: CountedEntries | null
}

/** First entries of a payload's own history in its bytes; the text is that of all entries up to their end. */
export interface HistoryPlace {
  readonly from: number
  readonly to: number
  readonly entries: number
  readonly text: SettledText
}

/** A character outside of ASCII has at least one byte more than units, and weighs 7 more. */
const WIDE_CHAR_EXTRA = 7

const MIN_HEADROOM_CHARS = 16_384

/**
 * Agents' conversations grow to 1.03. Memory is not reserved for the worst case: a million empty messages
 * get a frame each, and every turn names the model.
 */
const MAX_GROWTH = 2
const FREE_BYTES = 256 * 1024
const USUAL_GROWTH = 1.125
const USUAL_FREE_BYTES = 16 * 1024

/** The payload is larger than usual for its body: nothing is written before memory is reserved. */
export interface RoomNeeded {
  readonly type: 'room-needed'
  readonly payloadBytes: number
  readonly bodyBytes: number
}

/**
 * Returns a lower bound if the payload needs more than `roomBytes`, mostly before writing any of it.
 * @throws {GatewayError} GW_BODY_TOO_LARGE for much more than `bodyBytes`
 */
export function encodeWithin(
  payload: UpstreamPayload,
  repairs: Repairs,
  {
    bodyBytes,
    roomBytes,
    settling = 0
  }: {
    readonly bodyBytes: number
    readonly roomBytes: number
    /** Entries whose place is wanted. */
    readonly settling?: number
  }
): EncodedPayload | RoomNeeded {
  const maxBytes = bodyBytes * MAX_GROWTH + FREE_BYTES
  const freeBytes = Math.max(roomBytes, usualRoom(bodyBytes))
  const roomFor = (payloadBytes: number): RoomNeeded | null => {
    if (payloadBytes > maxBytes) throw grownTooMuch(bodyBytes, maxBytes)
    return payloadBytes > freeBytes ? { type: 'room-needed', payloadBytes, bodyBytes } : null
  }
  const room = roomFor(leastBytesOf(payload))
  if (room !== null) return room
  if (bodyBytes >= MIN_HEADROOM_CHARS) {
    const places = new HistoryPlaces(settling)
    const text = writePieces(payload, usualRoom(bodyBytes), places.onEntries)
    if (text !== null) return encodeText(payload, text, repairs, { place: places.of(payload) })
  }
  const json = JSON.stringify(payload)
  return roomFor(Buffer.byteLength(json)) ?? encodeText(payload, toText(json), repairs)
}

export interface SettledBefore {
  readonly settled: SettledText
  /** The settled entries, with commas between them but not between pieces. */
  readonly pieces: readonly Uint8Array[]
  /** Size of the request, with and without what has become the settled entries. */
  readonly bodyBytes: number
  readonly newBytes: number
  readonly settling: number
  /** Text of the payload's tools, if it was written before. */
  readonly tools?: ToolsText | undefined
}

/** Writes a payload with the entries that precede its history. `null` if it has grown so much that the whole is looked at. */
export function encodeBehind(
  payload: UpstreamPayload,
  repairs: Repairs,
  { settled, pieces, bodyBytes, newBytes, settling, tools }: SettledBefore
): EncodedPayload | null {
  const places = new HistoryPlaces(settling)
  const text = writePieces(payload, usualRoom(newBytes), places.onEntries, tools)
  const { from } = places
  if (text === null || from === null || text.maySplit) return null
  const bytes = insertPieces(text.bytes, from.bytes, pieces)
  const ownBytes = text.bytes.length
  freeIfLong(text.bytes)
  if (bytes.length !== ownBytes + settled.bytes + 1)
    throw new Error('the pieces are not the text that has settled')
  const chars = text.chars + settled.chars + 1
  if (bytes.length > usualRoom(bodyBytes)) return null
  const isCounted = settled.counted?.place.from === from.bytes
  const shared = {
    place: places.of(payload, settled),
    settled: isCounted ? settled : { ...settled, counted: null }
  }
  return encodeText(payload, { bytes, chars, maySplit: false }, repairs, shared)
}

const COMMA = 0x2c

function insertPieces(
  bytes: Buffer,
  from: number,
  pieces: readonly Uint8Array[]
): Buffer<ArrayBuffer> {
  const added = pieces.reduce((sum, { byteLength }) => sum + byteLength + 1, 0)
  const whole = allocateWithHeadroom(bytes.byteLength + added)
  whole.set(bytes.subarray(0, from))
  let at = from
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.byteLength
    whole[at++] = COMMA
  }
  whole.set(bytes.subarray(from), at)
  return whole
}

class HistoryPlaces {
  readonly #settling: number
  #from: TextPlace | null = null
  #to: TextPlace | null = null

  constructor(settling: number) {
    this.#settling = settling
  }

  readonly onEntries = (entries: number, place: TextPlace): void => {
    if (entries === 0) this.#from = place
    if (entries === this.#settling) this.#to = place
  }

  get from(): TextPlace | null {
    return this.#from
  }

  /** `settled` stands in front. */
  of({ conversationState }: UpstreamPayload, settled?: SettledText): HistoryPlace | null {
    const [from, to] = [this.#from, this.#to]
    if (from === null || to === null || this.#settling === 0) return null
    const { currentMessage, history = [] } = conversationState
    const { modelId } = currentMessage.userInputMessage
    const entries = history.slice(0, this.#settling)
    const shift = settled === undefined ? 0 : settled.bytes + 1
    const text = {
      bytes: to.bytes - from.bytes + shift,
      chars: to.chars - from.chars + (settled === undefined ? 0 : settled.chars + 1),
      weight: null,
      counts: countEntries(entries, modelId, settled?.counts),
      counted: null
    }
    return { from: from.bytes + shift, to: to.bytes + shift, entries: entries.length, text }
  }
}

export function encodePayload(payload: UpstreamPayload, repairs: Repairs): EncodedPayload {
  return encodeText(payload, toText(JSON.stringify(payload)), repairs)
}

function usualRoom(bodyBytes: number): number {
  return Math.floor(bodyBytes * USUAL_GROWTH + USUAL_FREE_BYTES)
}

/** History entries that this payload shares with others of its conversation. */
interface SharedHistory {
  /** Entries of the payload whose place is wanted. */
  readonly place?: HistoryPlace | null
  /** Entries that stand in the text in front of the payload's own. */
  readonly settled?: SettledText
}

/** Counts the tokens of a payload in its text. */
function encodeText(
  payload: UpstreamPayload,
  text: PayloadText,
  repairs: Repairs,
  shared: SharedHistory = {}
): EncodedPayload {
  const { bytes, replaced } = replaceLoneSurrogates(text)
  if (replaced > 0) repairs.note('surrogate-replaced')
  const chars = text.chars - replaced * (ESCAPE_CHARS - 1)
  const weights = isFar(chars, bytes.length - chars) ? null : weigh(bytes, shared)
  const weight = weights?.whole ?? chars
  const known = replaced > 0 ? {} : knownEntriesOf(shared)
  const { tokens, settling } = countRequest(payload, bytes, known)
  const { place = null } = shared
  if (place === null) return { bytes, tokens, weight }
  const told = { ...place.text, weight: weights?.settling ?? null, counted: settling }
  return { bytes, tokens, weight, history: { ...place, text: told } }
}

interface Weights {
  readonly whole: number
  /** Weight of the entries whose place is wanted. */
  readonly settling: number | null
}

/** Weighs a text but for the entries that were weighed before, which begin those whose place is wanted. */
function weigh(bytes: Buffer, { place = null, settled }: SharedHistory): Weights {
  const partOf = (from: number, to?: number): number => weighBytes(bytes.subarray(from, to))
  if (place === null) return { whole: partOf(0), settling: null }
  const { to, text } = place
  const from = to - text.bytes
  const known = settled?.weight ?? null
  const settling =
    known === null ? partOf(from, to) : known + partOf(from + (settled?.bytes ?? 0), to)
  return { whole: partOf(0, from) + settling + partOf(to), settling }
}

function knownEntriesOf({ place = null, settled }: SharedHistory): KnownEntries {
  const known = { before: settled?.counts, counted: settled?.counted }
  if (place === null) return known
  const { to, text } = place
  const settling = { from: to - text.bytes, to, attachments: text.counts.attachments.length }
  return { ...known, settling }
}

function toText(json: string): PayloadText {
  return { bytes: toBytes(json), chars: json.length, maySplit: json.includes(LONE_SURROGATE) }
}

/** Leaves room in front of a large payload for the call's own members, so that it need not be copied. */
function toBytes(json: string): Buffer<ArrayBuffer> {
  if (json.length < MIN_HEADROOM_CHARS) return Buffer.from(json)
  const bytes = allocateWithHeadroom(Buffer.byteLength(json))
  bytes.write(json)
  return bytes
}

/** The lengths alone nearly always show that a body is far from the limit. */
function isFar(chars: number, extraBytes: number): boolean {
  const most = chars + extraBytes * WIDE_CHAR_EXTRA
  return extraBytes === 0 || most < UpstreamLimits.payloadWeight / 2
}

/** Lower bound of a payload's bytes: its frame and texts, of which only long ones are scanned. */
function leastBytesOf(payload: UpstreamPayload): number {
  const { currentMessage, history = [] } = payload.conversationState
  let bytes = leastFrameChars(payload)
  for (const entry of [...history, currentMessage]) {
    if ('assistantResponseMessage' in entry) {
      bytes += leastBytesOfText(entry.assistantResponseMessage.content)
      continue
    }
    const { content, userInputMessageContext: context } = entry.userInputMessage
    bytes += leastBytesOfText(content)
    for (const { content: parts } of context?.toolResults ?? [])
      bytes += leastBytesOfText(parts[0].text)
  }
  return bytes
}

const MIN_LOOKED_AT_CHARS = 65_536
const SPACE = 0x20
const DELETE = 0x7f
const CONTROL_EXTRA = '\\u0001'.length - 1

function leastBytesOfText(text: string): number {
  if (text.length < MIN_LOOKED_AT_CHARS) return text.length
  let bytes = text.length
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE || code === BACKSLASH || code > DELETE) bytes++
    else if (code < SPACE) bytes += isNamedControl(code) ? 1 : CONTROL_EXTRA
  }
  return bytes
}

/** Backspace to carriage return, except vertical tab, have an escape of one letter. */
function isNamedControl(code: number): boolean {
  return code >= 0x08 && code <= 0x0d && code !== 0x0b
}

function grownTooMuch(bodyBytes: number, maxBytes: number): GatewayError {
  return new GatewayError('GW_BODY_TOO_LARGE', `${bodyBytes} bytes`, {
    message:
      `The request has ${bodyBytes} bytes but would become more than ${maxBytes} for the upstream: every turn gets a ` +
      'wrapper of its own that repeats the model name. Send fewer, longer messages, or a shorter model name.'
  })
}

const MAX_OUTLINE_CHARS = 1024 * 1024

/** Makes the member `request` of an indented JSON object, without its braces, from a payload (`outlineOf()`). */
export function outlineMember(payload: string): string {
  const object = JSON.stringify({ request: outlineOf(parseJsonObject(payload)) }, null, 2)
  return object.slice(2, -2).slice(0, MAX_OUTLINE_CHARS)
}

/** Throws for bytes that `encodePayload()` has not written. */
export function decodePayload(bytes: Uint8Array): UpstreamPayload {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
  const payload: unknown = JSON.parse(text)
  if (!isPayload(payload)) throw new Error('these are not the bytes of a payload')
  return payload
}

function isPayload(value: unknown): value is UpstreamPayload {
  return isJsonObject(value) && isJsonObject(value['conversationState'])
}

const ESCAPE_CHARS = '\\ud800'.length
const BACKSLASH = 0x5c
const QUOTE = 0x22
const REPLACEMENT = Buffer.from('\ufffd')

/**
 * JSON has half a surrogate pair only as an escape with an odd number of backslashes. Works on the bytes in
 * place: a text may have a million of them, and as many look-alikes.
 */
function replaceLoneSurrogates({ bytes, maySplit }: PayloadText): {
  readonly bytes: Buffer<ArrayBuffer>
  readonly replaced: number
} {
  if (!maySplit) return { bytes, replaced: 0 }
  let [from, to, replaced] = [0, 0, 0]
  for (let at = bytes.indexOf(LONE_SURROGATE); at !== -1; ) {
    const isEscape = !isEscapedAt(bytes, at)
    if (isEscape) {
      to = move(bytes, { from, end: at, to })
      to += REPLACEMENT.copy(bytes, to)
      from = at + ESCAPE_CHARS
      replaced++
    }
    at = bytes.indexOf(LONE_SURROGATE, at + LONE_SURROGATE.length)
  }
  to = move(bytes, { from, end: bytes.length, to })
  return { bytes: shorten(bytes, to), replaced }
}

function move(
  bytes: Buffer,
  { from, end, to }: { readonly from: number; readonly end: number; readonly to: number }
): number {
  if (from !== to) bytes.copyWithin(to, from, end)
  return to + end - from
}
