import type { TLocalizedValidationError } from 'typebox/error'
import { Compile } from 'typebox/schema'
import { type JsonObject, objectsIn, resolvePointer } from '../../shared/json.ts'
import { type TSchema, Type } from '../../shared/schema-type.ts'
import { invalidPart } from '../plan/json-body.ts'

export interface Shape<T> {
  Check(value: unknown): value is T
  Errors(value: unknown): [isValid: boolean, errors: TLocalizedValidationError[]]
}

/**
 * `path` leads to the value from the body's root.
 * @throws {GatewayError} GW_BODY_INVALID that names the part at fault and what is expected
 */
export function checkShape<T>(shape: Shape<T>, value: unknown, path: string): T {
  if (shape.Check(value)) return value
  const [, errors] = shape.Errors(value)
  // Of alternatives that all failed, the one that got furthest was meant.
  const deepest = errors.reduce((best, error) => (depthOf(error) > depthOf(best) ? error : best))
  const atDeepest = errors.filter((error) => error.instancePath === deepest.instancePath)
  const missing = atDeepest.find((error) => error.keyword === 'required')
  if (missing?.keyword === 'required') {
    const [name = ''] = missing.params.requiredProperties
    throw invalidPart(joinPath(path, `${deepest.instancePath}/${name}`), 'is required')
  }
  const part = joinPath(path, deepest.instancePath)
  throw invalidPart(part, wordProblem(atDeepest, resolvePointer(value, deepest.instancePath)))
}

function depthOf(error: TLocalizedValidationError): number {
  return error.instancePath.split('/').length
}

/** `/messages/0/content` → `messages[0].content` */
function joinPath(path: string, pointer: string): string {
  let joined = path
  for (const token of pointer.split('/').slice(1)) {
    if (/^\d+$/.test(token)) joined += `[${token}]`
    else joined += joined === '' ? token : `.${token}`
  }
  return joined === '' ? 'body' : joined
}

function wordProblem(errors: readonly TLocalizedValidationError[], value: unknown): string {
  const expected = new Set<string>()
  for (const { keyword, params, message } of errors) {
    if (keyword === 'minItems' || keyword === 'minLength') return 'must not be empty'
    if (keyword === 'minimum') return `must be at least ${params.limit}`
    if (keyword === 'type') {
      if (params.type !== 'null') expected.add(withArticle(String(params.type)))
    } else if (keyword === 'enum') {
      for (const allowed of params.allowedValues) expected.add(JSON.stringify(allowed))
    } else if (keyword !== 'anyOf') {
      return message
    }
  }
  return `must be ${[...expected].join(' or ')}, not ${nameOf(value)}`
}

function withArticle(type: string): string {
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`
}

function nameOf(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return value.length > 40 ? 'a string' : JSON.stringify(value)
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number' || typeof value === 'boolean') return `${value}`
  return 'an object'
}

/** Many clients send null for "not set". */
export function optional<T extends TSchema>(schema: T) {
  return Type.Optional(Type.Union([schema, Type.Null()]))
}

export const OpenObject = Type.Unsafe<JsonObject>(Type.Object({}))

export const Content = Type.Union([
  Type.String(),
  Type.Null(),
  Type.Array(Type.Union([Type.String(), OpenObject]))
])

export const TextContent = Type.Union([
  Type.String(),
  Type.Array(Type.Union([Type.String(), OpenObject]))
])

export const Tokens = Type.Integer({ minimum: 0 })

/** Blocks of every dialect; only the members listed are validated. */
export const Blocks = {
  text: Compile(Type.Object({ text: Type.String() })),
  refusal: Compile(Type.Object({ refusal: Type.String() })),
  imageUrl: Compile(
    Type.Object({
      image_url: Type.Union([Type.String(), Type.Object({ url: Type.String() })])
    })
  ),
  image: Compile(
    Type.Object({
      source: Type.Object({
        type: Type.String(),
        media_type: optional(Type.String()),
        data: optional(Type.String()),
        url: optional(Type.String())
      })
    })
  ),
  document: Compile(
    Type.Object({
      title: optional(Type.String()),
      context: optional(Type.String()),
      source: Type.Object({
        type: Type.String(),
        media_type: optional(Type.String()),
        data: optional(Type.String()),
        content: Type.Optional(Content)
      })
    })
  ),
  searchResult: Compile(
    Type.Object({
      title: optional(Type.String()),
      source: optional(Type.String()),
      content: Type.Optional(Content)
    })
  ),
  toolUse: Compile(
    Type.Object({
      id: optional(Type.String()),
      name: Type.String({ minLength: 1 }),
      input: Type.Optional(Type.Unknown())
    })
  ),
  toolResult: Compile(
    Type.Object({
      tool_use_id: optional(Type.String()),
      content: Type.Optional(Type.Union([Content, OpenObject])),
      is_error: optional(Type.Boolean())
    })
  ),
  toolReference: Compile(Type.Object({ tool_name: Type.String() }))
} as const

/** Signs that tell requests of one API from others with `messages`. */
export interface Signs {
  readonly members: readonly string[]
  isTool(tool: JsonObject): boolean
  isMessage(message: JsonObject, types: readonly unknown[]): boolean
  isToolChoice(choice: unknown): boolean
}

const MAX_MESSAGES = 200

export function countSigns(body: JsonObject, signs: Signs): number {
  const messages = objectsIn(body['messages']).slice(0, MAX_MESSAGES)
  return (
    signs.members.filter((name) => body[name] !== undefined).length +
    objectsIn(body['tools']).filter((tool) => signs.isTool(tool)).length +
    messages.filter((message) => signs.isMessage(message, typesOf(message))).length +
    Number(signs.isToolChoice(body['tool_choice']))
  )
}

function typesOf({ content }: JsonObject): readonly unknown[] {
  return objectsIn(content).map(({ type }) => type)
}

export const NamedFunction = Type.Object({
  name: Type.String({ minLength: 1 }),
  description: optional(Type.String()),
  parameters: Type.Optional(Type.Unknown()),
  input_schema: Type.Optional(Type.Unknown())
})

export const NamedFunctionCheck = Compile(NamedFunction)
