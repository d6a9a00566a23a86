import { Compile } from 'typebox/schema'
import { type JsonObject, objectsIn } from '../../shared/json.ts'
import { type TSchema, Type } from '../../shared/schema-type.ts'

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
