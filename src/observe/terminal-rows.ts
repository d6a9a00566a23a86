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

/** Writes rows of at most `columns` characters; what is longer ends with an ellipsis. */
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
  return row.reduce((sum, { text }) => sum + text.length, 0)
}

function cutRow(row: Row, columns: number): Row {
  if (widthOf(row) <= columns) return row
  const kept: Span[] = []
  let left = columns - 1
  for (const { text, style } of row) {
    if (left <= 0) break
    kept.push({ text: text.slice(0, left), style })
    left -= text.length
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

/** Breaks text between words into at most `maxRows` rows; the last ends with an ellipsis if words are left. */
export function wrapSpans(spans: Row, { head, indent, columns, maxRows }: Paragraph): Row[] {
  const rows: Row[] = []
  let row: Span[] = [...head]
  let width = widthOf(head)
  let isFresh = true
  for (const { text, style } of wordsOf(spans)) {
    if (!isFresh && width + 1 + text.length > columns) {
      if (rows.length + 1 === maxRows) return [...rows, [...row, { text: ' …' }]]
      rows.push(row)
      row = [{ text: ' '.repeat(indent) }]
      width = indent
      isFresh = true
    }
    row.push({ text: isFresh ? text : ` ${text}`, style })
    width += text.length + (isFresh ? 0 : 1)
    isFresh = false
  }
  return [...rows, row]
}

function wordsOf(spans: Row): readonly Span[] {
  return spans.flatMap(({ text, style }) =>
    text
      .split(' ')
      .filter((word) => word !== '')
      .map((word) => ({ text: word, style }))
  )
}

/** Escapes control characters, since clients choose some values. */
export function printable(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
  return text.replace(UNSAFE, (character) => {
    const code = character.codePointAt(0) ?? 0
    return `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/** Control characters of terminals, and those that change the direction of writing. */
const UNSAFE = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu
