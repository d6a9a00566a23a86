import type { Static, TSchema, TUnsafe, Type as TypeBox } from 'typebox'

export type { Static, TSchema, TUnsafe }

/** Marks a member that may be left out. JSON Schema says that of the object, and does not see this. */
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

/** Ours make the same as those of TypeBox, so they may have their types. */
function typed(ours: typeof builders): Pick<typeof TypeBox, keyof typeof builders>
function typed(ours: object): object {
  return ours
}

/**
 * Subset of TypeBox's `Type` that is used here, with its types, making the same JSON Schema
 * (`test/shared/schema-type.test.ts`). The original brings an interpreter of TypeScript along: 7 MB in every process
 * and every thread.
 */
export const Type = typed(builders)
