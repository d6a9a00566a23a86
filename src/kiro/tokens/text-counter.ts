import type { GroupTokens } from './request-tokens.ts'

/*
 * Counts the tokens of a text without a tokenizer. Tokenizers cut a text at the borders between words, numbers, symbols
 * and white space, and then into frequent pieces, so the kinds of two neighbouring characters tell what the second one
 * costs. Fitted to two published vocabularies over prose, code, JSON and tools, the sum over a text of a few thousand
 * characters is mostly within 4 %.
 */

/** Tokens by kind: words of alphabets; digits and symbols; line ends and indents; CJK, emoji and the like. */
export interface TextTokens {
  readonly words: number
  readonly symbols: number
  readonly space: number
  readonly wide: number
}

const START = 0
const SMALL = 1
const CAPITAL = 2
const DIGIT = 3
const SPACE = 4
const LINE_END = 5
const SYMBOL = 6
/** Letter of two UTF-8 bytes: accents, Greek, Cyrillic, Arabic. */
const OTHER_LETTER = 7
/** A letter or word of three bytes: Chinese, Japanese, Korean, Thai, Indic scripts. */
const CJK = 8
/** Dashes, quotes, arrows, boxes. */
const SIGN = 9
const EMOJI = 10
/** White space behind white space, which vocabularies have as one piece. */
const INDENT = 11
/** Letter of a word that is longer than most: vocabularies have no such pieces. */
const LATE = 12
/** Has no tokens of its own: the second half of a pair, or a later byte. */
const PART = 13
/** Letters of a word before the late ones. */
const LONG_WORD = 12

const KINDS = 16
/** Tokens are added up as whole numbers of 1/1024, which is faster and loses nothing. */
const UNIT = 1024
/** Characters that one sum of 32 bits can take. */
const MAX_BLOCK = 65_536

/** Costs of each pair of neighbours, four places for each: words, symbols, space, wide. Made once for each family. */
export type PairTable = Int32Array

const WORDS = 0
const SYMBOLS = 1
const SPACES = 2
const WIDE = 3
const PLACES = 4

/**
 * Reads tokens that a character adds: a row for each kind before it, in their order, and a column for each kind from SMALL
 * on, below a line of names. `-` stands for a pair that cannot be.
 */
export function toPairTable(text: string): PairTable {
  const [, ...rows] = text.trim().split('\n')
  const table = new Int32Array(KINDS * KINDS * PLACES)
  for (const [before, row] of rows.entries()) {
    const [, ...costs] = row.trim().split(/ +/)
    for (const [column, cost] of costs.entries()) {
      const kind = SMALL + column
      const place = (before * KINDS + kind) * PLACES + placeOf(kind)
      table[place] = cost === '-' ? 0 : Math.round(Number(cost) * UNIT)
    }
  }
  return table
}

function placeOf(kind: number): number {
  if (kind <= CAPITAL || kind === OTHER_LETTER || kind === LATE) return WORDS
  if (kind === SYMBOL || kind === DIGIT) return SYMBOLS
  return kind <= LINE_END || kind === INDENT ? SPACES : WIDE
}

const FIRST_OF_THREE_BYTES = 0x800
const FIRST_SIGN = 0x2000
const LAST_SIGN = 0x2fff
const FIRST_SURROGATE = 0xd800
const FIRST_LOW_SURROGATE = 0xdc00
const LAST_SURROGATE = 0xdfff

/** Kinds of bytes in UTF-8; below 128 also of characters. */
const KIND_OF = Uint8Array.from({ length: 256 }, (_, byte) => kindOfByte(byte))

function kindOfByte(byte: number): number {
  if (byte >= 0x80) return kindOfWideByte(byte)
  if (byte >= 0x61 && byte <= 0x7a) return SMALL
  if (byte >= 0x41 && byte <= 0x5a) return CAPITAL
  if (byte >= 0x30 && byte <= 0x39) return DIGIT
  if (byte === 0x20 || byte === 0x09) return SPACE
  return byte === 0x0a || byte === 0x0d ? LINE_END : SYMBOL
}

function kindOfWideByte(byte: number): number {
  if (byte < 0xc0) return PART
  if (byte < 0xe0) return OTHER_LETTER
  if (byte === 0xe2) return SIGN
  return byte < 0xf0 ? CJK : EMOJI
}

function kindOfWide(code: number): number {
  if (code < FIRST_OF_THREE_BYTES) return OTHER_LETTER
  if (code >= FIRST_SIGN && code <= LAST_SIGN) return SIGN
  if (code < FIRST_SURROGATE || code > LAST_SURROGATE) return CJK
  return code < FIRST_LOW_SURROGATE ? EMOJI : PART
}

/** Kinds by the kind before: white space behind white space is an indent. */
const KIND_AFTER = Uint8Array.from({ length: KINDS * KINDS }, (_, pair) => {
  const [before, kind] = [Math.floor(pair / KINDS), pair % KINDS]
  const isWhite = before === SPACE || before === LINE_END || before === INDENT
  return kind === SPACE && isWhite ? INDENT : kind
})

/** Position of a counter, to go back to. */
export interface CounterState extends TextTokens {
  readonly before: number
  /** Letters of the word so far. */
  readonly letters: number
}

/** Weights of a kind of model for the text that it counts. */
export interface TextFamily {
  readonly table: PairTable
  /** Tokens of the model for each token of the vocabulary that the table was fitted to. */
  readonly ratio: number
}

/** Factors of words, symbols, space and wide characters, as a gauge has learnt them. */
export type TextScale = readonly number[]

/** Counter of an answer's words. */
export interface AnswerCounter {
  add(text: string): void
  /** Tokens so far, with fractions. */
  readonly tokens: number
  readonly groups: GroupTokens
  readonly state: CounterState
  restore(state: CounterState): void
}

/** Counts a text that comes in pieces as if it came whole, and keeps nothing of it but the kind of its last character. */
export class TextCounter implements TextTokens, AnswerCounter {
  words = 0
  symbols = 0
  space = 0
  wide = 0
  readonly #family: TextFamily
  readonly #scale: TextScale
  #before = START
  #letters = 0

  /** `scale` is what was learnt of the model. */
  constructor(family: TextFamily, scale: TextScale = []) {
    this.#family = family
    this.#scale = scale
  }

  add(text: string): this {
    for (let from = 0; from < text.length; from += MAX_BLOCK)
      this.#addBlock(text, from, Math.min(text.length, from + MAX_BLOCK))
    return this
  }

  /** Tokens of the model, corrected by the scale. */
  get tokens(): number {
    const { words, symbols, space, wide } = this
    const [ofWords = 1, ofSymbols = 1, ofSpace = 1, ofWide = 1] = this.#scale
    const corrected = words * ofWords + symbols * ofSymbols + space * ofSpace + wide * ofWide
    return this.#family.ratio * corrected
  }

  /** Tokens of the model before the scale corrects them. */
  get groups(): GroupTokens {
    const { words, symbols, space, wide } = this
    const { ratio } = this.#family
    return [words * ratio, symbols * ratio, space * ratio, wide * ratio, 0, 0, 0, 0]
  }

  get state(): CounterState {
    const { words, symbols, space, wide } = this
    return { words, symbols, space, wide, before: this.#before, letters: this.#letters }
  }

  restore({ words, symbols, space, wide, before, letters }: CounterState): void {
    this.words = words
    this.symbols = symbols
    this.space = space
    this.wide = wide
    this.#before = before
    this.#letters = letters
  }

  #addBlock(text: string, from: number, to: number): void {
    const { table } = this.#family
    let [words, symbols, space, wide] = [0, 0, 0, 0]
    let [before, letters] = [this.#before, this.#letters]
    for (let at = from; at < to; at++) {
      const code = text.charCodeAt(at)
      let kind = code < 0x80 ? (KIND_OF[code] ?? SYMBOL) : kindOfWide(code)
      if (kind === PART) continue
      letters = kind === SMALL ? letters + 1 : 0
      if (letters > LONG_WORD) kind = LATE
      kind = KIND_AFTER[before * KINDS + kind] ?? kind
      const pair = (before * KINDS + kind) * PLACES
      words += table[pair] ?? 0
      symbols += table[pair + SYMBOLS] ?? 0
      space += table[pair + SPACES] ?? 0
      wide += table[pair + WIDE] ?? 0
      before = kind
    }
    this.#before = before
    this.#letters = letters
    this.words += words / UNIT
    this.symbols += symbols / UNIT
    this.space += space / UNIT
    this.wide += wide / UNIT
  }
}

const SPACE_BYTE = 0x20
const BACKSLASH = 0x5c
const UNICODE_ESCAPE = 0x75
const UNICODE_DIGITS = 4

/** Kind of a character that JSON writes with a backslash, by the letter after it. */
function escapedKind(letter: number): number {
  const name = String.fromCharCode(letter)
  if (name === 't') return SPACE
  return name === 'n' || name === 'r' ? LINE_END : SYMBOL
}

/** Place in a JSON text: the kind before, letters of the word so far, and bytes left of an escape. */
interface JsonState {
  readonly before: number
  readonly letters: number
  /** Bytes that belong to an escape: none, the letter after a backslash, or digits. */
  readonly escape: 'none' | 'letter' | number
}

const NO_PAIR = -1

interface JsonStep {
  readonly next: JsonState
  /** Pair of neighbours that the byte completes, or NO_PAIR. */
  readonly pair: number
}

function stepBy(state: JsonState, byte: number): JsonStep {
  const { before, escape } = state
  if (escape === 'letter') {
    const kind = kindAfter(before, escapedKind(byte))
    const rest = byte === UNICODE_ESCAPE ? UNICODE_DIGITS : 'none'
    return { next: { before: kind, letters: 0, escape: rest }, pair: before * KINDS + kind }
  }
  if (escape !== 'none')
    return { next: { ...state, escape: escape === 1 ? 'none' : escape - 1 }, pair: NO_PAIR }
  const own = KIND_OF[byte] ?? SYMBOL
  if (own === PART) return { next: state, pair: NO_PAIR }
  if (byte === BACKSLASH) return { next: { before, letters: 0, escape: 'letter' }, pair: NO_PAIR }
  const letters = own === SMALL ? Math.min(LONG_WORD + 1, state.letters + 1) : 0
  const kind = letters > LONG_WORD ? LATE : kindAfter(before, own)
  return { next: { before: kind, letters, escape }, pair: before * KINDS + kind }
}

function kindAfter(before: number, kind: number): number {
  return KIND_AFTER[before * KINDS + kind] ?? kind
}

/** Bytes that the automaton takes alike: those of a kind, and apart from them those that an escape looks at. */
const CLASSES = 16
const CLASS_BITS = 4
const ESCAPE_CHARACTERS = '\\tnru'

/** Class of each byte, and a byte of each class. */
const { CLASS_OF, BYTE_OF } = byteClasses()

function byteClasses(): { readonly CLASS_OF: Uint8Array; readonly BYTE_OF: readonly number[] } {
  const names = Array.from(KIND_OF, (kind, byte) => {
    const character = String.fromCharCode(byte)
    return ESCAPE_CHARACTERS.includes(character) ? character : String(kind)
  })
  const classes = [...new Set(names)]
  return {
    CLASS_OF: Uint8Array.from(names, (name) => classes.indexOf(name)),
    BYTE_OF: classes.map((name) => names.indexOf(name))
  }
}

/** Row of the next state, and pair that is completed, by row of a state and class. A state's row is its number × CLASSES. */
const { NEXT_ROW, PAIR_OF } = jsonTables()

function jsonTables(): { readonly NEXT_ROW: Uint16Array; readonly PAIR_OF: Int16Array } {
  // The first states are those that a text can begin with: `before` is their number.
  const states = Array.from(
    { length: LATE + 1 },
    (_, before): JsonState => ({ before, letters: 0, escape: 'none' })
  )
  const numbers = new Map(states.map((state, number) => [nameOf(state), number]))
  const [rows, pairs]: [number[], number[]] = [[], []]
  for (const state of states) {
    for (const byte of BYTE_OF) {
      const { next, pair } = stepBy(state, byte)
      const number = numbers.get(nameOf(next)) ?? states.push(next) - 1
      numbers.set(nameOf(next), number)
      rows.push(number * CLASSES)
      pairs.push(pair)
    }
  }
  return { NEXT_ROW: Uint16Array.from(rows), PAIR_OF: Int16Array.from(pairs) }
}

/** Classes of two bytes, the first one's above the second's, by both bytes as the machine has them in a number of 16 bits. */
const CLASSES_OF_TWO = classesOfTwo()
/** Row after two bytes, by row before them and classes of both. A state's row is its number × CLASSES². */
const NEXT_ROW_OF_TWO = rowsBehindTwo()

function rowsBehindTwo(): Uint16Array {
  const rows = new Uint16Array(NEXT_ROW.length * CLASSES)
  for (let step = 0; step < rows.length; step++) {
    const middle = NEXT_ROW[step >> CLASS_BITS] ?? 0
    rows[step] = (NEXT_ROW[middle | (step & (CLASSES - 1))] ?? 0) << CLASS_BITS
  }
  return rows
}

function classesOfTwo(): Uint8Array {
  const classes = new Uint8Array(0x10000)
  const number = new Uint16Array(1)
  const bytes = new Uint8Array(number.buffer)
  for (let at = 0; at < classes.length; at++) {
    number[0] = at
    classes[at] = ((CLASS_OF[bytes[0] ?? 0] ?? 0) << CLASS_BITS) | (CLASS_OF[bytes[1] ?? 0] ?? 0)
  }
  return classes
}

function nameOf({ before, letters, escape }: JsonState): string {
  return `${before} ${letters} ${escape}`
}

export interface ByteRange {
  readonly from: number
  readonly to: number
}

/**
 * Counts the texts in a part of a JSON document, which may begin and end anywhere. Written for speed: to note which steps of a
 * small automaton the bytes make, and to multiply once at the end, takes a fifth of the time of sums for each byte; two
 * places at a time half of that, and two bytes in a step half again.
 */
export function countJson(bytes: Uint8Array, range: ByteRange, table: PairTable): TextTokens {
  const sum = new StepSum(table)
  if (range.to - range.from < SHORT_BYTES) sum.walk(bytes, range, firstRow(bytes, range.from))
  else walkLong(bytes, range, sum)
  return sum.tokens
}

/** Bytes below which a sum for each is faster than the notes of all steps, which take some 10 µs. */
const SHORT_BYTES = 4096

function walkLong(bytes: Uint8Array, { from, to }: ByteRange, sum: StepSum): void {
  const middle = borderIn(bytes, { from, to })
  const one = toWords(bytes, { from, to: middle })
  const two = toWords(bytes, { from: middle, to })
  let row = sum.walk(bytes, one.before, firstRow(bytes, from)) << CLASS_BITS
  let row2 = sum.walk(bytes, two.before, firstRow(bytes, middle)) << CLASS_BITS
  const { words } = one
  const { words: words2 } = two
  const next = NEXT_ROW_OF_TWO
  const classes = CLASSES_OF_TWO
  const times = new Int32Array(next.length)
  const both = Math.min(words.length, words2.length)
  for (let at = 0; at < both; at++) {
    const step = row | (classes[words[at] ?? 0] ?? 0)
    times[step] = (times[step] ?? 0) + 1
    row = next[step] ?? 0
    const step2 = row2 | (classes[words2[at] ?? 0] ?? 0)
    times[step2] = (times[step2] ?? 0) + 1
    row2 = next[step2] ?? 0
  }
  for (let at = both; at < words.length; at++) {
    const step = row | (classes[words[at] ?? 0] ?? 0)
    times[step] = (times[step] ?? 0) + 1
    row = next[step] ?? 0
  }
  for (let at = both; at < words2.length; at++) {
    const step = row2 | (classes[words2[at] ?? 0] ?? 0)
    times[step] = (times[step] ?? 0) + 1
    row2 = next[step] ?? 0
  }
  sum.walk(bytes, one.behind, row >> CLASS_BITS)
  sum.walk(bytes, two.behind, row2 >> CLASS_BITS)
  for (let step = 0; step < times.length; step++) {
    const count = times[step] ?? 0
    if (count > 0) sum.addTwo(step, count)
  }
}

interface Words {
  /** Two bytes each. */
  readonly words: Uint16Array
  /** At most one byte each. */
  readonly before: ByteRange
  readonly behind: ByteRange
}

/** Returns a range as numbers of 16 bits, which begin at an even place of the memory. */
function toWords({ buffer, byteOffset }: Uint8Array, { from, to }: ByteRange): Words {
  const start = Math.min(to, from + ((byteOffset + from) & 1))
  const words = new Uint16Array(buffer, start < to ? byteOffset + start : 0, (to - start) >> 1)
  return { words, before: { from, to: start }, behind: { from: start + words.length * 2, to } }
}

/** Adds up tokens of steps that occur so many times. */
class StepSum {
  readonly #table: PairTable
  #words = 0
  #symbols = 0
  #space = 0
  #wide = 0

  constructor(table: PairTable) {
    this.#table = table
  }

  /** Takes a step for each byte of a range; returns the row behind it. */
  walk(bytes: Uint8Array, { from, to }: ByteRange, row: number): number {
    let now = row
    for (let at = from; at < to; at++) {
      const step = now | (CLASS_OF[bytes[at] ?? 0] ?? 0)
      this.add(step, 1)
      now = NEXT_ROW[step] ?? 0
    }
    return now
  }

  addTwo(step: number, times: number): void {
    const first = step >> CLASS_BITS
    this.add(first, times)
    this.add((NEXT_ROW[first] ?? 0) | (step & (CLASSES - 1)), times)
  }

  add(step: number, times: number): void {
    const pair = PAIR_OF[step] ?? NO_PAIR
    if (pair === NO_PAIR) return
    const table = this.#table
    this.#words += times * (table[pair * PLACES] ?? 0)
    this.#symbols += times * (table[pair * PLACES + SYMBOLS] ?? 0)
    this.#space += times * (table[pair * PLACES + SPACES] ?? 0)
    this.#wide += times * (table[pair * PLACES + WIDE] ?? 0)
  }

  get tokens(): TextTokens {
    return {
      words: this.#words / UNIT,
      symbols: this.#symbols / UNIT,
      space: this.#space / UNIT,
      wide: this.#wide / UNIT
    }
  }
}

/** Spaces that are looked at, to find one between two words. */
const MAX_BORDERS = 64

/** Returns the place behind a word and a space, near the middle, where it does not matter what stood before; else `from`. */
function borderIn(bytes: Uint8Array, { from, to }: ByteRange): number {
  let at = from + (Math.max(0, to - from) >> 1)
  for (let tried = 0; tried < MAX_BORDERS; tried++) {
    const space = bytes.indexOf(SPACE_BYTE, at)
    if (space === -1 || space >= to) return from
    if (space - from > 2 && isSmall(bytes[space - 1]) && isSmall(bytes[space - 2])) return space + 1
    at = space + 1
  }
  return from
}

function isSmall(byte = 0): boolean {
  return KIND_OF[byte] === SMALL
}

/** A part may begin in a word or an escape, which costs a token at most. */
function firstRow(bytes: Uint8Array, from: number): number {
  let before = from - 1
  while (before >= 0 && KIND_OF[bytes[before] ?? 0] === PART) before--
  return before < 0 ? START : (KIND_OF[bytes[before] ?? 0] ?? START) * CLASSES
}
