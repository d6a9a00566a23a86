import { setImmediate } from 'node:timers/promises'
import { isEscapedAt, parseJson } from '../../shared/json.ts'

/** Place of a value's JSON text in bytes. */
export interface JsonSpan {
  readonly from: number
  readonly to: number
}

/** A request has a few dozen members; more are no request. */
const MAX_MEMBERS = 1000
const MAX_NAME_BYTES = 1024

export const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA_BYTE = 0x2c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
export const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

/**
 * `null` for bytes that are no object, or one of more members. Of members of one name the last counts, as in
 * `JSON.parse()`. Looks at the first level only.
 */
export function membersOf(
  bytes: Buffer,
  maxMembers = MAX_MEMBERS
): ReadonlyMap<string, JsonSpan> | null {
  return atOnce(scanMembers(bytes, maxMembers))
}

/** Like `membersOf()`, with a turn of the event loop for others after each part of a large text. */
export async function membersInTurns(bytes: Buffer): Promise<ReadonlyMap<string, JsonSpan> | null> {
  return inTurns(scanMembers(bytes, MAX_MEMBERS))
}

/** Pauses after each part of a text. */
type Scan<T> = Generator<void, T, void>

/** Bytes that are looked at without a pause: a millisecond or two of short strings. */
const STEP_BYTES = 64 * 1024

async function inTurns<T>(scan: Scan<T>): Promise<T> {
  for (let step = scan.next(); ; step = scan.next()) {
    if (step.done === true) return step.value
    await setImmediate()
  }
}

function atOnce<T>(scan: Scan<T>): T {
  for (let step = scan.next(); ; step = scan.next()) if (step.done === true) return step.value
}

function* scanMembers(
  bytes: Buffer,
  maxMembers: number
): Scan<ReadonlyMap<string, JsonSpan> | null> {
  const members = new Map<string, JsonSpan>()
  let at = skipSpace(bytes, 0)
  if (bytes[at] !== OPEN_BRACE) return null
  at = skipSpace(bytes, at + 1)
  if (bytes[at] === CLOSE_BRACE) return isEnd(bytes, at + 1) ? members : null
  for (let count = 0; count < maxMembers; count++) {
    if (bytes[at] !== QUOTE) return null
    const nameEnd = yield* endOfString(bytes, at)
    if (nameEnd === -1 || nameEnd - at > MAX_NAME_BYTES) return null
    const name = parseJson(spanText(bytes, { from: at, to: nameEnd }))
    at = skipSpace(bytes, nameEnd)
    if (typeof name !== 'string' || bytes[at] !== COLON) return null
    const from = skipSpace(bytes, at + 1)
    const to = yield* endOfValue(bytes, from)
    if (to === -1) return null
    members.set(name, { from, to })
    at = skipSpace(bytes, to)
    if (bytes[at] === CLOSE_BRACE) return isEnd(bytes, at + 1) ? members : null
    if (bytes[at] !== COMMA_BYTE) return null
    at = skipSpace(bytes, at + 1)
  }
  return null
}

/** Values of an array's first level, no more than `maxElements`; `null` for bytes that are no array. */
export function elementsOf(bytes: Buffer, maxElements: number): readonly JsonSpan[] | null {
  return atOnce(scanElements(bytes, maxElements))
}

/** Like `elementsOf()`, with turns as of `membersInTurns()`. */
export async function elementsInTurns(
  bytes: Buffer,
  maxElements: number
): Promise<readonly JsonSpan[] | null> {
  return inTurns(scanElements(bytes, maxElements))
}

function* scanElements(bytes: Buffer, maxElements: number): Scan<readonly JsonSpan[] | null> {
  const elements: JsonSpan[] = []
  let pauseAt = STEP_BYTES
  let at = skipSpace(bytes, 0)
  if (bytes[at] !== OPEN_BRACKET) return null
  at = skipSpace(bytes, at + 1)
  if (bytes[at] === CLOSE_BRACKET) return isEnd(bytes, at + 1) ? elements : null
  while (elements.length < maxElements) {
    const to = yield* endOfValue(bytes, at)
    if (to === -1) return null
    elements.push({ from: at, to })
    at = skipSpace(bytes, to)
    if (at >= pauseAt) {
      pauseAt = at + STEP_BYTES
      yield
    }
    if (bytes[at] === CLOSE_BRACKET) break
    if (bytes[at] !== COMMA_BYTE) return null
    at = skipSpace(bytes, at + 1)
  }
  return elements
}

export function skipSpace(bytes: Buffer, from: number): number {
  let at = from
  while (isSpace(bytes[at])) at++
  return at
}

function isEnd(bytes: Buffer, at: number): boolean {
  return skipSpace(bytes, at) === bytes.byteLength
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/**
 * Returns the place behind the closing quote, or -1. Goes on byte by byte behind an escaped quote: where there is one
 * there are many, and a search for each takes twenty times as long.
 */
function* endOfString(bytes: Buffer, from: number): Scan<number> {
  const first = bytes.indexOf(QUOTE, from + 1)
  if (first === -1) return -1
  if (!isEscapedAt(bytes, first)) return first + 1
  let pauseAt = first + STEP_BYTES
  for (let at = first + 1; at < bytes.byteLength; at++) {
    if (at >= pauseAt) {
      pauseAt = at + STEP_BYTES
      yield
    }
    const byte = bytes[at]
    if (byte === QUOTE) return at + 1
    if (byte === BACKSLASH) at++
  }
  return -1
}

/** Bytes of most names and many values: the search of a buffer begins to pay above. */
const SHORT_BYTES = 48

/** Like `endOfString()`, without its pauses; -1 also for a string with escaped quotes that is longer than a step. */
function endOfStringNow(bytes: Buffer, from: number): number {
  let at = from + 1
  for (; at <= from + SHORT_BYTES && bytes[at] !== BACKSLASH; at++) {
    if (bytes[at] === QUOTE) return at + 1
  }
  const first = bytes.indexOf(QUOTE, at)
  if (first === -1) return -1
  if (!isEscapedAt(bytes, first)) return first + 1
  const end = Math.min(bytes.byteLength, first + STEP_BYTES)
  for (at = first + 1; at < end; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) return at + 1
    if (byte === BACKSLASH) at++
  }
  return -1
}

/** Returns the place behind a value, or -1 for none. Looks at no more of it than where it ends. */
function* endOfValue(bytes: Buffer, from: number): Scan<number> {
  const first = bytes[from]
  if (first === QUOTE) return yield* endOfString(bytes, from)
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return yield* endOfNested(bytes, from)
  let at = from
  for (let byte = bytes[at]; byte !== undefined && !isEndOfWord(byte); byte = bytes[at]) at++
  return at === from ? -1 : at
}

function isEndOfWord(byte: number): boolean {
  return byte === COMMA_BYTE || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || isSpace(byte)
}

function* endOfNested(bytes: Buffer, from: number): Scan<number> {
  let depth = 0
  let at = from
  let pauseAt = from + STEP_BYTES
  while (at < bytes.byteLength) {
    if (at >= pauseAt) {
      pauseAt = at + STEP_BYTES
      yield
    }
    const byte = bytes[at]
    if (byte === QUOTE) {
      const end = endOfStringNow(bytes, at)
      at = end === -1 ? yield* endOfString(bytes, at) : end
      if (at === -1) return -1
      continue
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1
    at += 1
    if (depth === 0) return at
  }
  return -1
}

export function spanText(bytes: Buffer, { from, to }: JsonSpan): string {
  return bytes.toString('utf8', from, to)
}
