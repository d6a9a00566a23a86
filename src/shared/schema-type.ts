import type { Static, TSchema, TUnsafe, Type as TypeBox } from 'typebox'

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
