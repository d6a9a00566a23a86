import {
  type Document,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  stringify,
  type YAMLMap,
  type YAMLSeq
} from 'yaml'
import { isJsonObject, type JsonObject } from '../../../shared/json.ts'
import {
  brokenAt,
  clientFile,
  elementOf,
  lineBreakOf,
  lineEnd,
  lineStart,
  type Path,
  shownPath,
  type PathStep,
  type TextFormat,
  wrap
} from './text-format.ts'

export const YamlText: TextFormat = { read, set, remove }

function read(text: string): JsonObject {
  const document = parse(text)
  const values = valuesOf(document)
  if (values === null || values === undefined) return {}
  if (!isJsonObject(values)) throw brokenAt(text, 0, 'mapping expected')
  return values
}

/** Nested aliases may need more memory than there is. */
function valuesOf(document: Document.Parsed): unknown {
  try {
    return document.toJS()
  } catch (cause) {
    if (cause instanceof ReferenceError) throw clientFile(cause.message, cause)
    throw cause
  }
}

function parse(text: string): Document.Parsed {
  const document = parseDocument(text, { keepSourceTokens: true, prettyErrors: false })
  const [first] = document.errors
  if (first !== undefined) throw brokenAt(text, first.pos[0], first.message)
  return document
}

interface Found {
  readonly node: Node | null
  readonly pair: Pair | null
  readonly parent: Found | null
}

function locate(root: Node | null, path: Path) {
  let found: Found = { node: root, pair: null, parent: null }
  for (const [depth, step] of path.entries()) {
    const next = childOf(found, step)
    if (next === null) return { found, depth }
    found = next
  }
  return { found, depth: path.length }
}

function childOf(parent: Found, step: PathStep): Found | null {
  const { node } = parent
  if (typeof step === 'string') {
    const pair = isMap(node)
      ? node.items.find(({ key }) => isScalar(key) && key.value === step)
      : undefined
    return pair === undefined ? null : { node: nodeOf(pair.value), pair, parent }
  }
  if (!isSeq(node)) return null
  const element = node.items
    .map(nodeOf)
    .find((one) => isMap(one) && one.get(step.member) === step.is)
  return element === undefined ? null : { node: element, pair: null, parent }
}

function nodeOf(value: unknown): Node | null {
  return isScalar(value) || isCollection(value) ? value : null
}

function set(text: string, path: Path, value: unknown): string {
  const { found, depth } = locate(parse(text).contents, path)
  const { node, pair } = found
  const [step, ...below] = path.slice(depth)
  if (node === null || isNull(node)) {
    const inner = wrap(path.slice(depth), value)
    if (pair === null) return append(text, inner)
    return fillIn(text, { node, pair }, inner)
  }
  if (step === undefined) return replace(text, node, value)
  const inner = wrap(below, value)
  if (typeof step === 'string' && isMap(node))
    return insertPair(text, node, { name: step, value: inner })
  if (typeof step !== 'string' && isSeq(node))
    return insertElement(text, node, elementOf(step, inner))
  const wanted = typeof step === 'string' ? 'mapping' : 'list'
  throw brokenAt(text, rangeOf(node)[0], `${shownPath(path.slice(0, depth))} is not a ${wanted}`)
}

function isNull(node: Node): boolean {
  return isScalar(node) && node.value === null
}

function append(text: string, value: unknown): string {
  const lineBreak = lineBreakOf(text)
  const isClosed = text === '' || text.endsWith('\n')
  return `${text}${isClosed ? '' : lineBreak}${linesOf(value, 0).join(lineBreak)}${lineBreak}`
}

/** Gives `name:` a value: collections in lines below, others on its line. */
function fillIn(
  text: string,
  { node, pair }: Pick<Found, 'node'> & { readonly pair: Pair },
  value: unknown
): string {
  const key = nodeOf(pair.key)
  if (key === null) throw clientFile('a key is not text')
  const [start, end] = node === null ? [rangeOf(key)[1], rangeOf(key)[1]] : rangeOf(node)
  const isWritten = end > start
  if (typeof value !== 'object' || value === null) {
    const at = isWritten ? start : text.indexOf(':', rangeOf(key)[1]) + 1
    return `${text.slice(0, at)}${isWritten ? '' : ' '}${printFlat(value)}${text.slice(isWritten ? end : at)}`
  }
  const cleared = isWritten ? text.slice(0, start).trimEnd() + text.slice(end) : text
  const column = rangeOf(key)[0] - lineStart(text, rangeOf(key)[0])
  return insertLines(
    cleared,
    lineEnd(cleared, text.indexOf(':', rangeOf(key)[1])),
    linesOf(value, column + 2)
  )
}

function replace(text: string, node: Node, value: unknown): string {
  const [start, end] = rangeOf(node)
  const isLine = text[end - 1] === '\n'
  return `${text.slice(0, start)}${printFlat(value)}${isLine ? lineBreakOf(text) : ''}${text.slice(end)}`
}

interface Member {
  readonly name: string
  readonly value: unknown
}

function insertPair(text: string, map: YAMLMap, { name, value }: Member): string {
  if (map.flow === true)
    return insertFlow(text, map, `${JSON.stringify(name)}: ${printFlat(value)}`)
  const [first] = map.items
  const key = first === undefined ? null : nodeOf(first.key)
  if (key === null) throw clientFile(`${name} has no place`)
  const column = rangeOf(key)[0] - lineStart(text, rangeOf(key)[0])
  return insertLines(text, endOfLast(text, map), linesOf({ [name]: value }, column))
}

function insertElement(text: string, list: YAMLSeq, element: JsonObject): string {
  if (list.flow === true) return insertFlow(text, list, printFlat(element))
  const dash = dashOf(list, 0)
  return insertLines(text, endOfLast(text, list), linesOf([element], dash - lineStart(text, dash)))
}

/** `[a]` becomes `[a, b]`. */
function insertFlow(text: string, collection: YAMLMap | YAMLSeq, added: string): string {
  const [start, end] = rangeOf(collection)
  const inner = text.slice(start + 1, end - 1)
  const kept = inner.trimEnd()
  const separator = kept.trim() === '' ? '' : kept.endsWith(',') ? ' ' : ', '
  return (
    text.slice(0, start + 1) +
    kept +
    separator +
    added +
    inner.slice(kept.length) +
    text.slice(end - 1)
  )
}

function insertLines(text: string, at: number, lines: readonly string[]): string {
  const lineBreak = lineBreakOf(text)
  const end = text.indexOf('\n', at)
  if (end === -1) return [text, ...lines].join(lineBreak)
  return (
    text.slice(0, end + 1) + lines.map((line) => line + lineBreak).join('') + text.slice(end + 1)
  )
}

function endOfLast(text: string, node: Node): number {
  if (isCollection(node) && node.flow !== true) {
    const last: unknown = node.items.at(-1)
    const inner = isPairLike(last) ? (nodeOf(last.value) ?? nodeOf(last.key)) : nodeOf(last)
    if (inner !== null) return endOfLast(text, inner)
  }
  const [, end] = rangeOf(node)
  return text[end - 1] === '\n' ? end - 1 : end
}

function isPairLike(item: unknown): item is Pair {
  return typeof item === 'object' && item !== null && 'key' in item && 'value' in item
}

function remove(text: string, path: Path): string {
  const { found } = locate(parse(text).contents, path)
  const collection = found.parent?.node
  const [from, to] = path.at(-1) === undefined ? [0, 0] : extentOf(text, found)
  if (isCollection(collection) && collection.flow === true)
    return removeFlow(text, collection, [from, to])
  const begin = lineStart(text, from)
  const end = text.indexOf('\n', to)
  const after = end === -1 ? text.length : end + 1
  if (text.slice(begin, from).trim() === '') return text.slice(0, begin) + text.slice(after)
  // The key follows a list element's dash: the next member takes its place.
  const next = isMap(collection) ? nodeOf(collection.items[1]?.key) : null
  if (next === null) throw clientFile(`${shownPath(path)} is all that its line has`)
  return text.slice(0, from) + text.slice(rangeOf(next)[0])
}

function extentOf(text: string, { node, pair, parent }: Found): readonly [number, number] {
  const key = pair === null ? null : nodeOf(pair.key)
  const last = node ?? key
  if (last === null) throw clientFile('there is nothing to take out')
  const end = endOfLast(text, last)
  if (key !== null) return [rangeOf(key)[0], Math.max(end, rangeOf(key)[1])]
  const list = parent?.node
  if (isSeq(list) && list.flow !== true) return [dashOf(list, list.items.indexOf(node)), end]
  return [rangeOf(last)[0], rangeOf(last)[1]]
}

function removeFlow(
  text: string,
  collection: YAMLMap | YAMLSeq,
  [from, to]: readonly [number, number]
): string {
  const [start, end] = rangeOf(collection)
  const after = /^\s*,\s*/.exec(text.slice(to, end - 1))?.[0]
  if (after !== undefined) return text.slice(0, from) + text.slice(to + after.length)
  const before = /\s*,\s*$/.exec(text.slice(start + 1, from))?.[0] ?? ''
  return text.slice(0, from - before.length) + text.slice(to)
}

function dashOf(list: YAMLSeq, index: number): number {
  const token = list.srcToken
  const items = token?.type === 'block-seq' ? token.items : []
  const dash = items[index]?.start.find(({ type }) => type === 'seq-item-ind')
  if (dash === undefined) throw clientFile('the list is empty')
  return dash.offset
}

function rangeOf(node: Node): readonly [number, number] {
  const [start, end] = node.range ?? [0, 0]
  return [start, end]
}

function linesOf(value: unknown, column: number): readonly string[] {
  const printed = stringify(value, { lineWidth: 0 }).trimEnd()
  return printed.split('\n').map((line) => ' '.repeat(column) + line)
}

/** In one line: texts as plain as possible, others as JSON, which YAML understands. */
function printFlat(value: unknown): string {
  if (typeof value === 'object' && value !== null) return JSON.stringify(value)
  const printed = stringify(value, { lineWidth: 0 }).trimEnd()
  return printed.includes('\n') ? JSON.stringify(value) : printed
}
