/** Colours and emphasis of ANSI terminals. */
export type Style = 'dim' | 'bold' | 'red' | 'green' | 'yellow' | 'blue' | 'magenta' | 'cyan'

export interface Span {
  readonly text: string
  readonly style?: Style | undefined
}

/** One row of a terminal. */
export type Row = readonly Span[]

const CODES: Readonly<Record<Style, number>> = {
  bold: 1,
  dim: 2,
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36
}

const RESET = '\u001b[0m'

/** Writes rows of at most `columns` columns; what is longer ends with an ellipsis. */
export function renderRows(
  rows: readonly Row[],
  { columns, isColoured }: { readonly columns: number; readonly isColoured: boolean }
): string {
  return rows.map((row) => `${renderRow(cutRow(row, columns), isColoured)}\n`).join('')
}

function renderRow(row: Row, isColoured: boolean): string {
  const spans = isColoured ? joined(row).map(coloured) : row.map(({ text }) => text)
  return spans.join('').trimEnd()
}

function coloured({ text, style }: Span): string {
  return style === undefined || text.trim() === '' ? text : `\u001b[${CODES[style]}m${text}${RESET}`
}

/** Joins neighbours of one style. */
function joined(row: Row): Row {
  const spans: Span[] = []
  for (const span of row) {
    const last = spans.at(-1)
    if (last?.style === span.style && last !== undefined)
      spans.splice(-1, 1, { ...last, text: last.text + span.text })
    else spans.push(span)
  }
  return spans
}

export function widthOf(row: Row): number {
  return row.reduce((sum, { text }) => sum + columnsOf(text), 0)
}

/** Returns the columns that a terminal needs for a text: two for East Asian characters and emoji, none for accents. */
export function columnsOf(text: string): number {
  if (ONE_COLUMN_EACH.test(text)) return text.length
  let columns = 0
  for (const character of text) columns += columnsOfOne(character)
  return columns
}

const ONE_COLUMN_EACH = /^[\u0020-\u007e]*$/
const WIDE =
  /[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]/u
const WITHOUT_WIDTH = /[\p{Mn}\p{Me}]/u

function columnsOfOne(character: string): number {
  if (WITHOUT_WIDTH.test(character)) return 0
  return WIDE.test(character) ? 2 : 1
}

/** Returns the whole characters at the beginning that need at most so many columns. */
function beginningOf(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text
  let kept = ''
  let left = columns
  for (const character of text) {
    left -= columnsOfOne(character)
    if (left < 0) break
    kept += character
  }
  return kept
}

/** Cuts text to so many columns; what is longer ends with an ellipsis. */
export function shortened(text: string, columns: number): string {
  return columnsOf(text) <= columns ? text : `${beginningOf(text, columns - 1)}…`
}

function cutRow(row: Row, columns: number): Row {
  if (widthOf(row) <= columns) return row
  const kept: Span[] = []
  let left = columns - 1
  for (const { text, style } of row) {
    if (left <= 0) break
    const beginning = beginningOf(text, left)
    kept.push({ text: beginning, style })
    left = beginning === text ? left - columnsOf(text) : 0
  }
  return [...kept, { text: '…' }]
}

export interface Paragraph {
  /** Stands before the first row. */
  readonly head: Row
  /** Columns left free before the rows that follow. */
  readonly indent: number
  readonly columns: number
  readonly maxRows: number
}

/**
 * Breaks text between words into at most `maxRows` rows; the last ends with an ellipsis if words are left. A word that
 * is longer than a row, such as a path, goes on in the next.
 */
export function wrapSpans(spans: Row, { head, indent, columns, maxRows }: Paragraph): Row[] {
  const rows: Row[] = []
  let row: Span[] = [...head]
  let width = widthOf(head)
  let isFresh = true
  for (const { text, style } of wordsOf(spans, columns - indent)) {
    const needed = columnsOf(text)
    if (!isFresh && width + 1 + needed > columns) {
      if (rows.length + 1 === maxRows) return [...rows, [...row, { text: ' …' }]]
      rows.push(row)
      row = [{ text: ' '.repeat(indent) }]
      width = indent
      isFresh = true
    }
    row.push({ text: isFresh ? text : ` ${text}`, style })
    width += needed + (isFresh ? 0 : 1)
    isFresh = false
  }
  return [...rows, row]
}

function wordsOf(spans: Row, columns: number): readonly Span[] {
  return spans.flatMap(({ text, style }) =>
    text
      .split(' ')
      .filter((word) => word !== '')
      .flatMap((word) => piecesOf(word, columns))
      .map((word) => ({ text: word, style }))
  )
}

function piecesOf(word: string, columns: number): readonly string[] {
  const pieces: string[] = []
  let rest = word
  while (columnsOf(rest) > columns) {
    const piece = beginningOf(rest, columns)
    if (piece === '') break
    pieces.push(piece)
    rest = rest.slice(piece.length)
  }
  return [...pieces, rest]
}

/** Escapes what is not seen but changes what is, since clients choose some values. */
export function printable(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  return text.toWellFormed().replace(UNSAFE, (character) => {
    const code = character.codePointAt(0) ?? 0
    return `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/** Control characters of terminals, marks of direction and other characters without a shape, and ends of lines. */
const UNSAFE = /[\p{Cc}\p{Cf}\u2028\u2029]/gu
