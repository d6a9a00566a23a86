import type { Static, TSchema, TUnsafe, Type as TypeBox } from 'typebox'
import { Check } from 'typebox/schema'
import { parseJson } from './json.ts'

export type { Static, TSchema, TUnsafe }

/** Marks optional members. JSON Schema lists required ones in the object and ignores this symbol. */
const isOptional = Symbol('optional')

const builders = {
  Array: (items: object, options?: object) => ({ type: 'array', items, ...options }),
  Boolean: () => ({ type: 'boolean' }),
  Enum: (values: readonly unknown[]) => ({ enum: values }),
  Integer: (options?: object) => ({ type: 'integer', ...options }),
  Null: () => ({ type: 'null' }),
  Number: (options?: object) => ({ type: 'number', ...options }),
  Object(properties: Readonly<Record<string, object>>, options?: object) {
    const members = Object.entries(properties)
    const required = members.flatMap(([name, member]) => (isOptional in member ? [] : name))
    return { type: 'object', ...(required.length > 0 && { required }), properties, ...options }
  },
  Optional: (schema: object) => ({ ...schema, [isOptional]: true }),
  String: (options?: object) => ({ type: 'string', ...options }),
  Union: (anyOf: readonly object[]) => ({ anyOf }),
  Unknown: () => ({}),
  Unsafe: (schema: object) => ({ ...schema })
}

/** Output equals TypeBox's, so its types apply. */
function typed(ours: typeof builders): Pick<typeof TypeBox, keyof typeof builders>
function typed(ours: object): object {
  return ours
}

/** The used part of TypeBox's `Type`. TypeBox itself brings a TypeScript interpreter: 7 MB per process and thread. */
export const Type = typed(builders)

/** Schema of an object whose members all have one shape. */
export function mapOf<S extends TSchema>(members: S, options: object = {}) {
  const schema = { type: 'object', additionalProperties: members, ...options }
  return Type.Unsafe<Record<string, Static<S>>>(schema)
}

/** Returns a reader of JSON texts of one shape, which returns `null` for all others. */
export function jsonReader<S extends TSchema>(schema: S): (text: string | null) => Checked<S> | null
export function jsonReader(schema: TSchema): (text: string | null) => unknown {
  return (text) => {
    const value = text === null ? undefined : parseJson(text)
    return Check(schema, value) ? value : null
  }
}

/** Type of a value that was checked and is never changed. */
export type Checked<S extends TSchema> = Unchanging<Static<S>>

type Unchanging<T> = T extends object ? { readonly [Name in keyof T]: Unchanging<T[Name]> } : T
