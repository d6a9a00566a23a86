import { parseSync } from 'rolldown/utils'

/** A change of a few characters in the text of a unit. */
export interface Fault {
  readonly kind: string
  /** Offset in the text of the unit. */
  readonly start: number
  readonly end: number
  readonly to: string
}

/** A function, a member of a class or a constant of a module: what can be found again in another version. */
export interface Unit {
  /** `Class.member`, or the name of what the module declares. */
  readonly name: string
  /** Name and code without comments and layout. Units with the same key have the same faults, in the same order. */
  readonly key: string
  /** Offset in the source. */
  readonly start: number
  readonly text: string
  readonly faults: readonly Fault[]
}

interface AstNode {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [member: string]: unknown
}

const OTHER_OPERATOR: Readonly<Record<string, string>> = {
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '===': '!==',
  '!==': '===',
  '+': '-',
  '-': '+',
  '*': '/',
  '/': '*',
  '&&': '||',
  '||': '&&'
}

/** Finds the units of a TypeScript source, with every fault that may be put into them. */
export function unitsOf(source: string): readonly Unit[] {
  const { body, comments } = parse(source)
  const units: Unit[] = []
  const add = (name: string, node: AstNode): void => {
    const text = source.slice(node.start, node.end)
    const faults = faultsIn(node, source).map((fault) => ({
      ...fault,
      start: fault.start - node.start,
      end: fault.end - node.start
    }))
    units.push({
      name,
      key: `${name} ${bareCode(node, source, comments)}`,
      start: node.start,
      text,
      faults
    })
  }
  for (const statement of body) {
    const declared = asNode(statement['declaration']) ?? statement
    if (declared.type === 'FunctionDeclaration') add(textOf(declared['id'], source), declared)
    if (declared.type === 'VariableDeclaration')
      for (const one of childrenOf(declared)) add(textOf(one['id'], source), one)
    const members = declared.type === 'ClassDeclaration' ? asNode(declared['body']) : null
    for (const member of members === null ? [] : childrenOf(members))
      add(`${textOf(declared['id'], source)}.${textOf(member['key'], source)}`, member)
  }
  return units
}

/** Finds the modules that a source loads when it runs, at once or later; imports of types load nothing. */
export function loadedBy(source: string): readonly string[] {
  const found: string[] = []
  const look = (node: AstNode): void => {
    const from = asNode(node['source'])
    if (typeof from?.['value'] === 'string' && !isOfTypes(node)) found.push(from['value'])
    for (const child of childrenOf(node)) look(child)
  }
  for (const statement of parse(source).body) look(statement)
  return found
}

function parse(source: string): { body: readonly AstNode[]; comments: readonly AstNode[] } {
  const { program, comments, errors } = parseSync('source.ts', source)
  if (errors[0] !== undefined) throw new Error(errors[0].message)
  return {
    body: program.body as unknown as readonly AstNode[],
    comments: comments as unknown as readonly AstNode[]
  }
}

function faultsIn(node: AstNode, source: string): readonly Fault[] {
  const faults = [...faultsOf(node, source)]
  for (const child of childrenOf(node)) faults.push(...faultsIn(child, source))
  return faults
}

function faultsOf(node: AstNode, source: string): readonly Fault[] {
  switch (node.type) {
    case 'IfStatement':
    case 'ConditionalExpression':
      return [negated(asNode(node['test']), source)]
    case 'BinaryExpression':
    case 'LogicalExpression':
      return otherOperator(node, source)
    case 'ExpressionStatement':
      return [{ kind: 'statement dropped', start: node.start, end: node.end, to: 'void 0' }]
    case 'AwaitExpression':
      return [{ kind: 'await removed', start: node.start, end: node.start + 5, to: '' }]
    case 'Literal':
      return otherConstant(node)
    default:
      return []
  }
}

function negated(test: AstNode | null, source: string): Fault {
  if (test === null) throw new Error('a condition has no test')
  const { start, end } = test
  return { kind: 'condition negated', start, end, to: `!(${source.slice(start, end)})` }
}

function otherOperator(node: AstNode, source: string): readonly Fault[] {
  const operator = String(node['operator'])
  const to = OTHER_OPERATOR[operator]
  const left = asNode(node['left'])
  const right = asNode(node['right'])
  if (to === undefined || left === null || right === null) return []
  if (operator === '+' && (isText(left) || isText(right))) return []
  const start = source.indexOf(operator, left.end)
  return [{ kind: `${to} for ${operator}`, start, end: start + operator.length, to }]
}

function otherConstant(node: AstNode): readonly Fault[] {
  const { value, start, end } = node as AstNode & { value: unknown }
  if (typeof value === 'boolean')
    return [{ kind: 'constant changed', start, end, to: String(!value) }]
  if (typeof value !== 'number') return []
  return [{ kind: 'constant changed', start, end, to: String(value + 1) }]
}

/** Whether `+` joins text here: a minus in its place would be no likely slip. */
function isText(node: AstNode): boolean {
  if (node.type === 'BinaryExpression')
    return [node['left'], node['right']].some((side) => isText(side as AstNode))
  return node.type === 'TemplateLiteral' || typeof node['value'] === 'string'
}

function isOfTypes(node: AstNode): boolean {
  const kinds = [node['importKind'], node['exportKind']]
  if (kinds.includes('type')) return true
  const names = (node['specifiers'] ?? []) as readonly AstNode[]
  return names.length > 0 && names.every((name) => isOfTypes({ ...name, specifiers: [] }))
}

function bareCode(node: AstNode, source: string, comments: readonly AstNode[]): string {
  let code = ''
  let at = node.start
  for (const comment of comments) {
    if (comment.start < node.start || comment.end > node.end) continue
    code += source.slice(at, comment.start)
    at = comment.end
  }
  return (code + source.slice(at, node.end)).replace(/\s+/g, '')
}

/** Nodes right below this one that hold code that runs. */
function childrenOf(node: AstNode): readonly AstNode[] {
  return Object.values(node)
    .flat()
    .map(asNode)
    .filter((child) => child !== null)
    .filter((child) => !child.type.startsWith('TS') || 'expression' in child)
}

function asNode(value: unknown): AstNode | null {
  if (typeof value !== 'object' || value === null || !('type' in value)) return null
  return typeof value.type === 'string' && 'start' in value ? (value as AstNode) : null
}

function textOf(value: unknown, source: string): string {
  const node = asNode(value)
  const name = node?.['name']
  if (typeof name === 'string') return node?.type === 'PrivateIdentifier' ? `#${name}` : name
  return node === null ? '' : source.slice(node.start, node.end)
}
