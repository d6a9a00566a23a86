import { type AnyNode, parse } from '@humanwhocodes/momoa'
import type { Node } from 'jsonc-parser'
import { brokenAt } from './text-format.ts'

/** Returns the tree of a JSON5 text as jsonc-parser would build it; `null` for an empty one. @throws {GatewayError} GW_CLIENT_FILE */
export function parseJson5(text: string): Node | null {
  if (isEmpty(text)) return null
  try {
    return toNode(parse(text, { mode: 'json5', ranges: true, allowTrailingCommas: true }).body)
  } catch (cause) {
    if (!(cause instanceof Error && 'offset' in cause)) throw cause
    throw brokenAt(text, Number(cause.offset), reasonIn(cause))
  }
}

/** Nothing but spaces and comments. */
function isEmpty(text: string): boolean {
  return text.replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, '').trim() === ''
}

/** "Unexpected character 'x' found." */
function reasonIn({ message }: Error): string {
  const [reason = ''] = message.split(/ found\b| \(\d+:\d+\)/)
  return reason.toLowerCase()
}

function toNode(one: AnyNode, parent?: Node): Node {
  const [start = 0, end = 0] = one.range ?? []
  const place = { offset: start, length: end - start, ...(parent !== undefined && { parent }) }
  switch (one.type) {
    case 'Document':
      return toNode(one.body)
    case 'Object':
      return withChildren({ type: 'object', ...place }, one.members)
    case 'Array':
      return withChildren({ type: 'array', ...place }, one.elements)
    case 'Element':
      return toNode(one.value, parent)
    case 'Member':
      return withChildren({ type: 'property', ...place }, [one.name, one.value])
    case 'Identifier':
      return { type: 'string', value: one.name, ...place }
    case 'String':
      return { type: 'string', value: one.value, ...place }
    case 'Boolean':
      return { type: 'boolean', value: one.value, ...place }
    case 'Number':
      return { type: 'number', value: one.value, ...place }
    case 'NaN':
      return { type: 'number', value: NaN, ...place }
    case 'Infinity':
      return { type: 'number', value: one.sign === '-' ? -Infinity : Infinity, ...place }
    case 'Null':
      return { type: 'null', value: null, ...place }
  }
}

function withChildren(head: Node, children: readonly AnyNode[]): Node {
  const made: Node[] = []
  const node = { ...head, children: made }
  for (const child of children) made.push(toNode(child, node))
  return node
}
