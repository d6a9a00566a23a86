import { type AST, getStaticTOMLValue, ParseError, parseTOML } from 'toml-eslint-parser'
import { isJsonObject, type JsonObject } from '../../../shared/json.ts'
import {
  brokenAt,
  clientFile,
  indentAt,
  lineBreakOf,
  lineEnd,
  lineStart,
  type Path,
  shownPath,
  type TextFormat,
  wrap
} from './text-format.ts'

/** Lists are values: a path has names only. */
export const TomlText: TextFormat = { read, set, remove }

function read(text: string): JsonObject {
  const values: unknown = getStaticTOMLValue(parse(text))
  return isJsonObject(values) ? values : {}
}

function parse(text: string): AST.TOMLProgram {
  try {
    return parseTOML(text)
  } catch (cause) {
    if (cause instanceof ParseError) throw brokenAt(text, cause.index, cause.message)
    throw cause
  }
}

type Names = readonly string[]

interface Table {
  readonly names: Names
  readonly header: AST.TOMLTable | null
  readonly pairs: readonly AST.TOMLKeyValue[]
}

interface Pair {
  readonly names: Names
  readonly node: AST.TOMLKeyValue
  readonly inline: AST.TOMLInlineTable | null
  readonly table: Table
}

/** Without tables of lists, which never hold values of ours. */
function tablesOf(text: string): readonly Table[] {
  const [top] = parse(text).body
  const pairs = top.body.filter((node) => node.type === 'TOMLKeyValue')
  const headers = top.body.filter((node) => node.type === 'TOMLTable')
  const tables = headers.flatMap((header): Table | [] => {
    const names = header.resolvedKey.filter((name) => typeof name === 'string')
    const isPlain = header.kind === 'standard' && names.length === header.resolvedKey.length
    return isPlain ? { names, header, pairs: header.body } : []
  })
  return [{ names: [], header: null, pairs }, ...tables]
}

function pairsOf(tables: readonly Table[]): readonly Pair[] {
  const below = (node: AST.TOMLKeyValue, outer: Omit<Pair, 'node'>): readonly Pair[] => {
    const names = [...outer.names, ...namesOf(node.key)]
    const { value } = node
    const inner =
      value.type === 'TOMLInlineTable'
        ? value.body.flatMap((one) => below(one, { names, inline: value, table: outer.table }))
        : []
    return [{ ...outer, names, node }, ...inner]
  }
  return tables.flatMap((table) =>
    table.pairs.flatMap((node) => below(node, { names: table.names, inline: null, table }))
  )
}

function namesOf({ keys }: AST.TOMLKey): Names {
  return keys.map((key) => (key.type === 'TOMLBare' ? key.name : key.value))
}

function set(text: string, path: Path, value: unknown): string {
  const names = toNames(path)
  const tables = tablesOf(text)
  const pairs = pairsOf(tables)
  const pair = pairs.find((one) => isSame(one.names, names))
  if (pair !== undefined) {
    const [start, end] = pair.node.value.range
    return text.slice(0, start) + print(value) + text.slice(end)
  }
  const inline = pairs
    .filter(
      ({ node, names: outer }) => node.value.type === 'TOMLInlineTable' && isWithin(names, outer)
    )
    .at(-1)
  if (inline?.node.value.type === 'TOMLInlineTable') {
    return insertInline(text, inline.node.value, { names: names.slice(inline.names.length), value })
  }
  const parent = names.slice(0, -1)
  const table = tables.find((one) => isSame(one.names, parent))
  if (table !== undefined) return insertPair(text, table, assignment(names.slice(-1), value))
  // `a.b.c = 1` makes the table a.b, which must not have a header besides.
  const dotted = pairs.findLast((one) => one.inline === null && isWithin(one.names, parent))
  if (dotted !== undefined && isDottedTable(dotted, parent)) {
    const relative = names.slice(dotted.table.names.length)
    return insertAfter(text, dotted.node, assignment(relative, value))
  }
  return appendTable(text, parent, assignment(names.slice(-1), value))
}

function isDottedTable({ table, names }: Pair, parent: Names): boolean {
  return parent.length > 0 && table.names.length < parent.length && names.length > parent.length
}

/** @throws {GatewayError} GW_CLIENT_FILE */
function toNames(path: Path): Names {
  return path.map((step) => {
    if (typeof step !== 'string') throw clientFile(`${shownPath(path)} is in a list`)
    return step
  })
}

interface Added {
  readonly names: Names
  readonly value: unknown
}

/** `{ a = 1 }` becomes `{ a = 1, b = 2 }`. */
function insertInline(text: string, table: AST.TOMLInlineTable, { names, value }: Added): string {
  const [first = '', ...below] = names
  const added = assignment([first], wrap(below, value))
  const last = table.body.at(-1)
  if (last === undefined) {
    return `${text.slice(0, table.range[0])}{ ${added} }${text.slice(table.range[1])}`
  }
  return `${text.slice(0, last.range[1])}, ${added}${text.slice(last.range[1])}`
}

function insertPair(text: string, table: Table, line: string): string {
  const last = table.pairs.at(-1)
  if (last !== undefined) return insertAfter(text, last, line)
  const { header } = table
  if (header !== null)
    return insertLineAt(
      text,
      lineEnd(text, header.key.range[1]),
      indentAt(text, header.range[0]) + line
    )
  const lineBreak = lineBreakOf(text)
  return text === '' ? `${line}${lineBreak}` : `${line}${lineBreak}${lineBreak}${text}`
}

function insertAfter(text: string, node: AST.TOMLKeyValue, line: string): string {
  return insertLineAt(text, lineEnd(text, node.range[1]), indentAt(text, node.range[0]) + line)
}

function insertLineAt(text: string, at: number, line: string): string {
  return text.slice(0, at) + lineBreakOf(text) + line + text.slice(at)
}

function appendTable(text: string, names: Names, line: string): string {
  const lineBreak = lineBreakOf(text)
  const isClosed = text === '' || text.endsWith('\n')
  const gap = text.trim() === '' ? '' : lineBreak
  const header = `[${names.map(printKey).join('.')}]`
  return `${text}${isClosed ? '' : lineBreak}${gap}${header}${lineBreak}${line}${lineBreak}`
}

function remove(text: string, path: Path): string {
  const names = toNames(path)
  const tables = tablesOf(text)
  const pair = pairsOf(tables).find((one) => isSame(one.names, names))
  if (pair?.inline != null) return removeInline(text, pair.inline, pair.node)
  if (pair !== undefined) return removeLines(text, pair.node.range)
  // A table goes with its content, last to first, so that earlier offsets stay valid.
  const doomed = [
    ...pairsOf(tables).filter((one) => one.inline === null && isWithin(one.names, names)),
    ...tables.flatMap(({ names: own, header }) =>
      header !== null && (isSame(own, names) || isWithin(own, names))
        ? { node: { range: [header.range[0], header.key.range[1]] as const } }
        : []
    )
  ].map(({ node }) => node.range)
  return doomed
    .toSorted(([a], [b]) => b - a)
    .reduce((rest, range) => removeLines(rest, range), text)
}

/** Also removes the empty line before a header. */
function removeLines(text: string, [start, end]: readonly [number, number]): string {
  const from = lineStart(text, start)
  const next = text.indexOf('\n', end)
  const before = text.slice(0, from)
  const isHeader = text[start] === '['
  const kept = isHeader ? before.replace(/(^|\n)\r?\n$/, '$1') : before
  return kept + (next === -1 ? '' : text.slice(next + 1))
}

function removeInline(text: string, { body }: AST.TOMLInlineTable, node: AST.TOMLKeyValue): string {
  const at = body.indexOf(node)
  const [previous, next] = [body[at - 1], body[at + 1]]
  const start = next === undefined ? (previous?.range[1] ?? node.range[0]) : node.range[0]
  const end = next?.range[0] ?? node.range[1]
  return text.slice(0, start) + text.slice(end)
}

function isSame(names: Names, others: Names): boolean {
  return names.length === others.length && names.every((name, index) => name === others[index])
}

function isWithin(names: Names, outer: Names): boolean {
  return names.length > outer.length && outer.every((name, index) => name === names[index])
}

function assignment(names: Names, value: unknown): string {
  return `${names.map(printKey).join('.')} = ${print(value)}`
}

function printKey(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : JSON.stringify(name)
}

/** Formats a value on one line. Strings are those of JSON, whose escapes TOML has, too. */
function print(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(print).join(', ')}]`
  if (!isJsonObject(value)) return JSON.stringify(value).replaceAll('\u007f', '\\u007f')
  const pairs = Object.entries(value).map(([name, inner]) => assignment([name], inner))
  return pairs.length === 0 ? '{}' : `{ ${pairs.join(', ')} }`
}
