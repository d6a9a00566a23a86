import {
  getNodeValue,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode
} from 'jsonc-parser'
import { asJsonObject } from '../../../shared/json.ts'
import { parseJson5 } from './json5-tree.ts'
import {
  brokenAt,
  elementOf,
  indentAt,
  lineBreakOf,
  lineEnd,
  lineStart,
  type Path,
  shownPath,
  type PathStep,
  type TextFormat,
  wrap
} from './text-format.ts'

/** JSON with comments and trailing commas. */
export const JsonText = formatOf(parseJson)
/** Names may stand without quotes, too. What is written is JSON. */
export const Json5Text = formatOf(parseJson5)

function formatOf(parse: (text: string) => Node | null): TextFormat {
  const parseRoot = (text: string): Node | null => {
    const root = parse(text)
    if (root === null || root.type === 'object') return root
    throw brokenAt(text, root.offset, 'object expected')
  }
  return {
    read: (text) => {
      const root = parseRoot(text)
      const values: unknown = root === null ? {} : getNodeValue(root)
      return asJsonObject(values) ?? {}
    },
    set: (text, path, value) => set({ text, root: parseRoot(text) }, path, value),
    remove: (text, path) => remove({ text, root: parseRoot(text) }, path)
  }
}

/** A text, and what is in it: `null` for an empty one. */
interface Parsed {
  readonly text: string
  readonly root: Node | null
}

function parseJson(text: string): Node | null {
  const errors: ParseError[] = []
  const root = parseTree(text, errors, { allowTrailingComma: true, allowEmptyContent: true })
  const [first] = errors
  if (first !== undefined) {
    const words = printParseErrorCode(first.error).replaceAll(/(?<=[a-z])[A-Z]/g, ' $&')
    throw brokenAt(text, first.offset, words.toLowerCase())
  }
  return root ?? null
}

function membersOf(node: Node) {
  return (node.children ?? []).flatMap(({ children = [] }) => {
    const [key, value] = children
    return key === undefined || value === undefined ? [] : { name: String(key.value), value }
  })
}

/** The last member of a name counts. */
function childOf(node: Node, step: PathStep): Node | undefined {
  if (typeof step === 'string') {
    if (node.type !== 'object') return undefined
    return membersOf(node).findLast(({ name }) => name === step)?.value
  }
  if (node.type !== 'array') return undefined
  return node.children?.find((element) => childOf(element, step.member)?.value === step.is)
}

function locate(root: Node, path: Path) {
  let node = root
  for (const [depth, step] of path.entries()) {
    const next = childOf(node, step)
    if (next === undefined) return { node, depth }
    node = next
  }
  return { node, depth: path.length }
}

function set({ text, root }: Parsed, path: Path, value: unknown): string {
  const layout = layoutOf(text, root)
  if (root === null) {
    const isClosed = text === '' || text.endsWith('\n')
    return `${text}${isClosed ? '' : layout.lineBreak}${print(wrap(path, value), '', layout)}${layout.lineBreak}`
  }
  const { node, depth } = locate(root, path)
  const [step, ...below] = path.slice(depth)
  if (step === undefined || node.type === 'null') {
    const printed = print(wrap(path.slice(depth), value), indentAt(text, node.offset), layout)
    return text.slice(0, node.offset) + printed + text.slice(endOf(node))
  }
  const wanted = typeof step === 'string' ? 'object' : 'array'
  if (node.type !== wanted) {
    throw brokenAt(text, node.offset, `${shownPath(path.slice(0, depth))} is not an ${wanted}`)
  }
  const inner = wrap(below, value)
  const added =
    typeof step === 'string'
      ? { name: step, value: inner }
      : { name: null, value: elementOf(step, inner) }
  return insert(text, { parent: node, layout, ...added })
}

interface Insertion {
  readonly parent: Node
  readonly name: string | null
  readonly value: unknown
  readonly layout: Layout
}

function insert(text: string, insertion: Insertion): string {
  const { parent } = insertion
  const first = parent.children?.[0]
  const inner = text.slice(parent.offset + 1, first?.offset ?? endOf(parent) - 1)
  const isOnLines =
    inner.includes('\n') ||
    (first === undefined && (text.includes('\n') || parent.parent === undefined))
  return isOnLines ? insertLine(text, insertion) : insertInLine(text, insertion)
}

/** `{"a": 1}` becomes `{"a": 1, "b": 2}`. A trailing comma stays behind. */
function insertInLine(text: string, { parent, name, value, layout }: Insertion): string {
  const space = /[:,] /.test(text.slice(parent.offset, endOf(parent))) ? ' ' : ''
  const flat = { ...layout, isFlat: true, space }
  const printed = `${name === null ? '' : `${JSON.stringify(name)}:${space}`}${print(value, '', flat)}`
  const last = parent.children?.at(-1)
  const at = last === undefined ? parent.offset + 1 : endOf(last)
  return `${text.slice(0, at)}${last === undefined ? '' : `,${space}`}${printed}${text.slice(at)}`
}

function insertLine(text: string, { parent, name, value, layout }: Insertion): string {
  const { lineBreak, unit } = layout
  const children = parent.children ?? []
  const last = children.at(-1)
  const outer = indentAt(text, parent.offset)
  const indent = children[0] === undefined ? outer + unit : indentAt(text, children[0].offset)
  const key = name === null ? '' : `${JSON.stringify(name)}: `
  const printed = `${lineBreak}${indent}${key}${print(value, indent, layout)}`
  const close = endOf(parent) - 1
  const lastEnd = last === undefined ? parent.offset + 1 : endOf(last)
  const comma = skipTrivia(text, lastEnd)
  const hasComma = last !== undefined && text[comma] === ','
  const at = endOfRemarks(
    text,
    hasComma ? comma + 1 : lastEnd,
    last === undefined ? close : lineEnd(text, lastEnd)
  )
  const tail = text.slice(at, close)
  return [
    text.slice(0, lastEnd),
    last === undefined || hasComma ? '' : ',',
    text.slice(lastEnd, at),
    printed,
    hasComma ? ',' : '',
    tail.includes('\n') ? tail : `${tail.trimEnd()}${lineBreak}${outer}`,
    text.slice(close)
  ].join('')
}

function endOfRemarks(text: string, start: number, end: number): number {
  let at = start
  for (;;) {
    const next = at + (/^\s*/.exec(text.slice(at, end))?.[0].length ?? 0)
    const after = endOfComment(text, next)
    if (next >= end || after === null || after > end) return at
    at = after
  }
}

function skipTrivia(text: string, start: number): number {
  let at = start
  for (;;) {
    while (/\s/.test(text[at] ?? '')) at += 1
    const after = endOfComment(text, at)
    if (after === null) return at
    at = after
  }
}

function endOfComment(text: string, start: number): number | null {
  if (text.startsWith('//', start)) return lineEnd(text, start)
  if (!text.startsWith('/*', start)) return null
  const close = text.indexOf('*/', start + 2)
  return close === -1 ? text.length : close + 2
}

function remove({ text, root }: Parsed, path: Path): string {
  const found = root === null ? undefined : locate(root, path).node
  const child = found?.parent?.type === 'property' ? found.parent : found
  const siblings = child?.parent?.children ?? []
  if (child === undefined) return text
  const previous = siblings[siblings.indexOf(child) - 1]
  const comma = skipTrivia(text, endOf(child))
  if (text[comma] === ',') return cut(text, child.offset, comma + 1)
  const rest = cut(text, child.offset, endOf(child))
  const orphan = previous === undefined ? -1 : skipTrivia(text, endOf(previous))
  return orphan === -1 ? rest : rest.slice(0, orphan) + rest.slice(orphan + 1)
}

/** Removes a range, and lines that become empty. */
function cut(text: string, start: number, end: number): string {
  const [from, to] = [lineStart(text, start), lineEnd(text, end)]
  const isWhole = text.slice(from, start).trim() === '' && text.slice(end, to).trim() === ''
  if (isWhole && from > 0) {
    const before = text[from - 2] === '\r' ? from - 2 : from - 1
    return text.slice(0, before) + text.slice(to)
  }
  const isFollowed = /^[ \t]*\S/.test(text.slice(end)) && text[end - 1] === ','
  const tail = isFollowed ? text.slice(end).trimStart() : text.slice(end)
  return (isFollowed ? text.slice(0, start) : text.slice(0, start).trimEnd()) + tail
}

function endOf({ offset, length }: Node): number {
  return offset + length
}

interface Layout {
  readonly lineBreak: string
  readonly unit: string
  readonly isFlat: boolean
  readonly space: string
}

function layoutOf(text: string, root: Node | null): Layout {
  const first = root?.children?.[0]
  const isOnLines = first !== undefined && lineStart(text, first.offset) > (root?.offset ?? 0)
  const unit = isOnLines ? indentAt(text, first.offset) : ''
  return {
    lineBreak: lineBreakOf(text),
    unit: unit === '' ? '  ' : unit,
    isFlat: false,
    space: ' '
  }
}

/** Like `JSON.stringify()`, but lists of texts in one line. */
function print(value: unknown, indent: string, layout: Layout): string {
  const { unit, lineBreak, isFlat, space } = layout
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const isList = Array.isArray(value)
  const inner = `${indent}${unit}`
  const parts = Object.entries(value).map(([name, one]: [string, unknown]) => {
    const printed = print(one, inner, layout)
    return isList ? printed : `${JSON.stringify(name)}:${isFlat ? space : ' '}${printed}`
  })
  const [open, close] = isList ? '[]' : '{}'
  if (parts.length === 0) return `${open}${close}`
  const isShort = isFlat || (isList && value.every((one) => typeof one !== 'object'))
  if (isShort) return `${open}${parts.join(`,${isFlat ? space : ' '}`)}${close}`
  return `${open}${lineBreak}${inner}${parts.join(`,${lineBreak}${inner}`)}${lineBreak}${indent}${close}`
}
