import { readFileSync } from 'node:fs'
import { MessagesBodyCheck, ToolCheck } from '../../src/dialects/anthropic-messages/schema.ts'
import type { DialectName } from '../../src/dialects/dialect.ts'
import { ChatBodyCheck } from '../../src/dialects/openai-chat/schema.ts'
import { Items, ResponsesBodyCheck, Tools } from '../../src/dialects/openai-responses/schema.ts'
import { Blocks, NamedFunctionCheck } from '../../src/dialects/request/shape.ts'

/** One field of a request, which can hold as much as one likes of something. */
export interface GrowingField {
  /** Where it is, and what it is filled with. */
  readonly name: string
  readonly dialect: DialectName
  /** Of about so many bytes. */
  readonly bodyOf: (bytes: number) => object
}

/** What is used here of JSON Schema. */
interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly enum?: readonly unknown[]
}

interface Compiled {
  Schema(): object
}

/** Puts a value into a body, somewhere. */
type Place = (value: unknown) => object

/** Texts whose repetition could be dear: escapes, what is cut at, what is cleaned, what is two bytes. */
const TEXTS = ['a', '\\', '"', ' ', '\n', '|', '_', '.', '/', 'é', '\u0001', '\ud800', '-thinking']

const USER = { role: 'user', content: 'hi' }
const CALL = { id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }

/**
 * Every field that the schemas of the dialects have, filled with every kind of thing: whoever adds a field or a type of
 * block has it here without a word.
 */
export function growingFields(): readonly GrowingField[] {
  return [
    ...ofBody('openai-chat', ChatBodyCheck, { model: 'auto', messages: [USER] }),
    ...ofBody('anthropic-messages', MessagesBodyCheck, { model: 'auto', messages: [USER] }),
    ...ofBody('openai-responses', ResponsesBodyCheck, { model: 'auto', input: 'hi' }),
    ...ofElements('openai-chat', Blocks, blockTypes(), (content) => ({
      model: 'auto',
      messages: [USER, { role: 'assistant', tool_calls: [CALL] }, { role: 'user', content }]
    })),
    ...ofElements('anthropic-messages', Blocks, blockTypes(), (content) => ({
      model: 'auto',
      tools: [{ name: 'a' }],
      messages: [USER, { role: 'assistant', content }, { role: 'user', content }]
    })),
    ...ofElements('openai-responses', Items, itemTypes(), (input) => ({ model: 'auto', input })),
    ...ofElements('openai-responses', Tools, toolTypes(), (tools) => ({
      model: 'auto',
      input: 'hi',
      tools
    })),
    ...ofElements('anthropic-messages', { ToolCheck }, [null], (tools) => ({
      model: 'auto',
      messages: [USER],
      tools
    })),
    ...ofElements('openai-chat', { NamedFunctionCheck }, [null], (tools) => ({
      model: 'auto',
      messages: [USER],
      tools
    }))
  ]
}

function ofBody(dialect: DialectName, compiled: Compiled, base: object): GrowingField[] {
  const place: Place = (value) => ({ ...base, ...(value as object) })
  return grow({ dialect, schema: compiled.Schema(), path: '', place })
}

/** Lists whose elements have one of several shapes, and say by `type` which; each type is tried in each shape. */
function ofElements(
  dialect: DialectName,
  shapes: Readonly<Record<string, Compiled>>,
  types: readonly (string | null)[],
  place: Place
): GrowingField[] {
  return types.flatMap((type) =>
    Object.entries(shapes).flatMap(([name, compiled]) => {
      const path = `${type ?? ''} as ${name}`
      const typed = (element: unknown): object => ({
        ...(element as object),
        ...(type !== null && { type })
      })
      const schema: Schema = compiled.Schema()
      const inOne: Place = (element) => place([typed(element)])
      return [
        ...grow({ dialect, schema, path, place: inOne }),
        ...fillList(schema, (list) => place(list.map(typed))).map((filled) => ({
          dialect,
          name: `${dialect} ${path}[]: ${filled.name}`,
          bodyOf: filled.bodyOf
        }))
      ]
    })
  )
}

interface Spot {
  readonly dialect: DialectName
  readonly schema: Schema
  readonly path: string
  readonly place: Place
}

interface Filled {
  readonly name: string
  readonly bodyOf: (bytes: number) => object
}

function grow({ dialect, schema, path, place }: Spot): GrowingField[] {
  const filled = (fills: readonly Filled[]): GrowingField[] =>
    fills.map(({ name, bodyOf }) => ({ dialect, name: `${dialect} ${path}: ${name}`, bodyOf }))
  if (schema.anyOf !== undefined) {
    return schema.anyOf.flatMap((one) => grow({ dialect, schema: one, path, place }))
  }
  if (schema.enum !== undefined) return []
  switch (schema.type) {
    case 'string':
      return filled(fillText(place))
    case 'array': {
      const items = schema.items ?? {}
      const inList: Place = (value) => place([value])
      return [
        ...filled(fillList(items, place)),
        ...grow({ dialect, schema: items, path: `${path}[0]`, place: inList })
      ]
    }
    case 'object': {
      const { properties = {} } = schema
      const fields = Object.entries(properties)
      if (fields.length === 0) return filled(fillValue(place))
      const example = exampleOf(schema, requiredOf(schema))
      return fields.flatMap(([name, inner]) => {
        const inMember: Place = (value) => place({ ...(example as object), [name]: value })
        return grow({ dialect, schema: inner, path: `${path}.${name}`, place: inMember })
      })
    }
    case undefined:
      return filled(fillValue(place))
    default:
      return []
  }
}

function fillText(place: Place): Filled[] {
  return TEXTS.map((text) => ({
    name: `the text ${JSON.stringify(text)}`,
    bodyOf: (bytes) => place(text.repeat(bytes / (JSON.stringify(text).length - 2)))
  }))
}

/** The same again and again, each with words of its own, and the same beside one that is long. */
function fillList(items: Schema, place: (list: readonly unknown[]) => object): Filled[] {
  const all = exampleOf(items, Object.keys(firstOf(items).properties ?? {}))
  const bytesOfOne = JSON.stringify(all).length + 1
  const same = (bytes: number): unknown[] => times(bytes / bytesOfOne, () => all)
  return [
    { name: 'one thing again and again', bodyOf: (bytes) => place(same(bytes)) },
    {
      name: 'many different ones',
      bodyOf: (bytes) => place(times(bytes / (bytesOfOne + 5), (at) => numbered(all, at)))
    },
    ...longOnes(all).map(({ name, make }) => ({
      name: `many beside one with a long ${name}`,
      bodyOf: (bytes: number) => place([make(bytes / 2), ...same(bytes / 2)])
    }))
  ]
}

/** Values that may be anything. */
function fillValue(place: Place): Filled[] {
  return [
    ...fillText(place).slice(0, 3),
    {
      name: 'many members',
      bodyOf: (bytes) =>
        place(Object.fromEntries(times(bytes / 14, (at) => [`m${at}`, `${at % 9}`])))
    },
    {
      name: 'a schema with many properties and references',
      bodyOf: (bytes) => {
        const names = times(bytes / 60, (at) => `p${at}`)
        const $defs = { d: { type: 'object', properties: { a: {} } } }
        const properties = Object.fromEntries(names.map((name) => [name, { $ref: '#/$defs/d' }]))
        return place({ type: 'object', properties, required: names, $defs })
      }
    },
    {
      name: 'deep levels, each with one branch',
      bodyOf: (bytes) => {
        let schema: object = Object.fromEntries(times(bytes / 8, (at) => [`m${at}`, 1]))
        for (let level = 0; level < 60; level++) schema = { allOf: [schema], content: 'c' }
        return place(schema)
      }
    },
    { name: 'a long list', bodyOf: (bytes) => place(times(bytes / 4, () => '')) }
  ]
}

/** A value of the schema, with some members. */
function exampleOf(schema: Schema, members: readonly string[]): unknown {
  const one = firstOf(schema)
  if (one.enum !== undefined) return one.enum[0]
  switch (one.type) {
    case 'string':
      return 'a'
    case 'array':
      return []
    case 'boolean':
      return false
    case 'integer':
    case 'number':
      return 1
    case undefined:
    default:
      return Object.fromEntries(
        members.map((name) => {
          const member = one.properties?.[name] ?? {}
          return [name, exampleOf(member, requiredOf(firstOf(member)))]
        })
      )
  }
}

function firstOf(schema: Schema): Schema {
  return schema.anyOf?.find(({ type }) => type !== 'null') ?? schema
}

function requiredOf({ required = [] }: Schema): readonly string[] {
  return required
}

function numbered(value: unknown, at: number): unknown {
  if (typeof value === 'string') return `${value}${at}`
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, numbered(one, at)]))
}

interface LongOne {
  readonly name: string
  readonly make: (bytes: number) => unknown
}

/** The same value with one of its texts long. */
function longOnes(value: unknown): readonly LongOne[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, one]): readonly LongOne[] => {
    if (one === 'a') {
      return [{ name, make: (bytes: number) => ({ ...value, [name]: 'x'.repeat(bytes) }) }]
    }
    const isOpen = typeof one === 'object' && one !== null && Object.keys(one).length === 0
    if (!isOpen || Array.isArray(one)) return []
    return [{ name, make: (bytes: number) => ({ ...value, [name]: { t: 'x'.repeat(bytes) } }) }]
  })
}

/** The words that a reader tells things apart by are in its source. */
function typesIn(file: string): readonly string[] {
  const source = readFileSync(new URL(`../../src/dialects/${file}`, import.meta.url), 'utf8')
  return [...source.matchAll(/case '([a-z_]+)':/g)].map(([, type = '']) => type)
}

function blockTypes(): readonly string[] {
  return [...typesIn('request/blocks.ts'), 'a_type_to_come']
}

function itemTypes(): readonly string[] {
  const types = ['openai-responses/items.ts']
  return [...types.flatMap(typesIn), 'function_call_output', 'web_search_call', 'item_reference']
}

function toolTypes(): readonly string[] {
  return [...typesIn('openai-responses/tools.ts'), 'tool_search', 'web_search']
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: Math.ceil(count) }, (_, index) => make(index))
}
