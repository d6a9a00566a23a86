import * as fc from './fast-check.ts'

/** Configurations as people write them: comments everywhere, odd spaces, either line break, a byte order mark. */

/** A text, and the comments in it, in their order. */
export interface ConfigText {
  readonly text: string
  readonly comments: readonly string[]
}

interface Style {
  readonly lineBreak: string
  readonly mark: string
  readonly indent: string
  readonly endsWithBreak: boolean
  /** Where comments and commas after the last stand: taken one after the other, again and again. */
  readonly choices: readonly number[]
}

const style: fc.Arbitrary<Style> = fc.record({
  lineBreak: fc.constantFrom('\n', '\r\n'),
  mark: fc.constantFrom('', '', '\ufeff'),
  indent: fc.constantFrom('  ', '    ', '\t'),
  endsWithBreak: fc.boolean(),
  choices: fc.array(fc.nat(9), { minLength: 1, maxLength: 20 })
})

/** Names that the configurations of clients have, and others. */
const NAMES = [
  'env',
  'model',
  'models',
  'provider',
  'providers',
  'kiro',
  'theme',
  'a b',
  'ü',
  'x.y',
  'name',
  ''
]
const TEXTS = [
  '',
  'gpt-5',
  'http://example.org/v1',
  '# no comment',
  '// nor this',
  "it's",
  'a "b"',
  'a\\b',
  'ü 漢',
  '1',
  'true'
]

type Value =
  | string
  | number
  | boolean
  | null
  | readonly Value[]
  | { readonly [name: string]: Value }

const leaf: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom(...TEXTS),
  fc.integer({ min: -1000, max: 1000 }),
  fc.boolean()
)

const tree: fc.Arbitrary<{ readonly [name: string]: Value }> = fc.letrec<{
  value: Value
  object: { readonly [name: string]: Value }
}>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    { weight: 4, arbitrary: leaf },
    { weight: 1, arbitrary: fc.array(leaf, { maxLength: 3 }) },
    { weight: 3, arbitrary: tie('object') }
  ),
  object: fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 5 })
})).object

/** Takes choices in turn, and numbers the comments that it makes. */
class Pen {
  readonly comments: string[] = []
  #next = 0
  readonly #style: Style

  constructor(style: Style) {
    this.#style = style
  }

  choose(): number {
    this.#next += 1
    return this.#style.choices[this.#next % this.#style.choices.length] ?? 0
  }

  comment(open: string, close = ''): string {
    const comment = `${open} remark ${this.comments.length} { "a": [ ${close}`.trimEnd()
    this.comments.push(comment)
    return comment
  }
}

/** JSON with comments. */
export const jsonTexts: fc.Arbitrary<ConfigText> = fc.tuple(tree, style).map(([value, style]) => {
  const pen = new Pen(style)
  const { lineBreak, mark, endsWithBreak } = style
  const head = pen.choose() < 2 ? `${pen.comment('//')}${lineBreak}` : ''
  const text = `${mark}${head}${printJson(value, '', style, pen)}`
  const tail = pen.choose() < 2 ? `${lineBreak}${pen.comment('/*', '*/')}` : ''
  return { text: `${text}${tail}${endsWithBreak ? lineBreak : ''}`, comments: pen.comments }
})

function printJson(value: Value, indent: string, style: Style, pen: Pen): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const isList = Array.isArray(value)
  const [open, close] = isList ? '[]' : '{}'
  const isFlat = pen.choose() === 0
  const inner = indent + style.indent
  const entries = Object.entries(value)
  const parts = entries.map(([name, one], index) => {
    const isLast = index === entries.length - 1
    const remark =
      !isFlat && !isList && pen.choose() < 2 ? `${pen.comment('//')}${style.lineBreak}${inner}` : ''
    const key = isList ? '' : `${JSON.stringify(name)}${pen.choose() === 0 ? ' :' : ': '}`
    const printed = printJson(one, inner, style, pen)
    const comma = !isLast || pen.choose() === 0 ? ',' : ''
    const behind =
      !isList && pen.choose() < 2 ? ` ${isFlat ? pen.comment('/*', '*/') : pen.comment('//')}` : ''
    return `${remark}${key}${printed}${comma}${behind}`
  })
  if (parts.length === 0)
    return !isList && pen.choose() < 2
      ? `${open} ${pen.comment('/*', '*/')} ${close}`
      : `${open}${close}`
  if (isFlat) return `${open}${parts.join(' ')}${close}`
  const gap = `${style.lineBreak}${inner}`
  return `${open}${gap}${parts.join(gap)}${style.lineBreak}${indent}${close}`
}

/** TOML: pairs, then tables, with inline tables and dotted names among them. */
export const tomlTexts: fc.Arbitrary<ConfigText> = fc.tuple(tree, style).map(([value, style]) => {
  const pen = new Pen(style)
  const lines = [...(pen.choose() < 3 ? [pen.comment('#'), ''] : []), ...tomlLines(value, [], pen)]
  const { lineBreak, mark, endsWithBreak } = style
  return {
    text: mark + lines.join(lineBreak) + (endsWithBreak ? lineBreak : ''),
    comments: pen.comments
  }
})

function tomlLines(
  table: { readonly [name: string]: Value },
  names: readonly string[],
  pen: Pen
): readonly string[] {
  const entries = Object.entries(table)
  const isTable = (value: Value): boolean =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
  const inline = new Set(entries.filter(([, value]) => !isTable(value) || pen.choose() < 3))
  const pairs = [...inline].flatMap(([name, value]) => {
    const before = pen.choose() < 2 ? [pen.comment('#')] : []
    const behind = pen.choose() < 2 ? ` ${pen.comment('#')}` : ''
    const gap = pen.choose() === 0 ? [''] : []
    return [...before, `${tomlKey(name)} = ${tomlValue(value)}${behind}`, ...gap]
  })
  const tables = entries
    .filter((entry) => !inline.has(entry))
    .flatMap(([name, value]) => {
      const below = [...names, name]
      const remark = pen.choose() < 2 ? ` ${pen.comment('#')}` : ''
      const header = `[${below.map(tomlKey).join('.')}]${remark}`
      return ['', header, ...tomlLines(value as { readonly [name: string]: Value }, below, pen)]
    })
  return [...pairs, ...tables]
}

function tomlKey(name: string): string {
  return /^\w+$/.test(name) ? name : JSON.stringify(name)
}

function tomlValue(value: Value): string {
  if (typeof value === 'string' && !/['\\]/.test(value) && value.length % 2 === 0)
    return `'${value}'`
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const pairs = Object.entries(value).map(([name, one]) => `${tomlKey(name)} = ${tomlValue(one)}`)
  return pairs.length === 0 ? '{}' : `{ ${pairs.join(', ')} }`
}

/** YAML in lines, with some of it in flow style. */
export const yamlTexts: fc.Arbitrary<ConfigText> = fc
  .tuple(
    tree,
    fc.array(fc.dictionary(fc.constantFrom('name', 'provider', 'model'), leaf, { minKeys: 1 }), {
      maxLength: 2
    }),
    style
  )
  .map(([value, models, style]) => {
    const pen = new Pen(style)
    const { lineBreak, mark, endsWithBreak } = style
    const values = models.length === 0 ? value : { ...value, models }
    const lines = [...(pen.choose() < 3 ? [pen.comment('#')] : []), ...yamlLines(values, '', pen)]
    return {
      text: mark + lines.join(lineBreak) + (endsWithBreak ? lineBreak : ''),
      comments: pen.comments
    }
  })

function yamlLines(value: Value, indent: string, pen: Pen): readonly string[] {
  if (Array.isArray(value)) {
    return value.flatMap((one: Value) => {
      const [first = '', ...rest] = yamlLines(one, `${indent}  `, pen)
      return [`${indent}- ${first.trimStart()}`, ...rest]
    })
  }
  if (typeof value !== 'object' || value === null) return [`${indent}${yamlLeaf(value)}`]
  return Object.entries(value).flatMap(([name, one]) => {
    const before = indent === '' && pen.choose() < 2 ? [pen.comment('#')] : []
    const key = `${indent}${/^[a-z]+$/.test(name) ? name : JSON.stringify(name)}:`
    const isFlow =
      typeof one !== 'object' || one === null || Object.keys(one).length === 0 || pen.choose() < 3
    if (!isFlow)
      return [...before, key, ...yamlLines(one, `${indent}${Array.isArray(one) ? '' : '  '}`, pen)]
    const behind = pen.choose() < 2 ? ` ${pen.comment('#')}` : ''
    return [
      ...before,
      `${key} ${typeof one === 'object' ? JSON.stringify(one) : yamlLeaf(one)}${behind}`
    ]
  })
}

function yamlLeaf(value: Value): string {
  return typeof value === 'string' && /^[a-z]+$/.test(value) && value !== 'true'
    ? value
    : JSON.stringify(value)
}
