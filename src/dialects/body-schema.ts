import { type TSchema, Type } from '../shared/schema-type.ts'
import type { JsonObject } from '../kiro/json-object.ts'

/** A member that may be missing or null; many clients send null for "not set". */
export function optional<T extends TSchema>(schema: T) {
  return Type.Optional(Type.Union([schema, Type.Null()]))
}

/** An object whose members are looked at later, once its `type` says what they should be. */
export const OpenObject = Type.Unsafe<JsonObject>(Type.Object({}))

/** What a message says: text, or a list of text and typed blocks. */
export const Content = Type.Union([
  Type.String(),
  Type.Null(),
  Type.Array(Type.Union([Type.String(), OpenObject]))
])

/** Text alone, in either form. */
export const TextContent = Type.Union([
  Type.String(),
  Type.Array(Type.Union([Type.String(), OpenObject]))
])

export const Tokens = Type.Integer({ minimum: 0 })
