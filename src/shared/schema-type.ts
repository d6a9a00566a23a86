import type {
  Static,
  TAddOptional,
  TArray,
  TArrayOptions,
  TBoolean,
  TEnum,
  TEnumValue,
  TInteger,
  TNull,
  TNumber,
  TNumberOptions,
  TObject,
  TObjectOptions,
  TProperties,
  TSchema,
  TString,
  TStringOptions,
  TUnion,
  TUnknown,
  TUnsafe
} from 'typebox'

export type { Static, TSchema, TUnsafe }

type Options = object | undefined

/** Marks a member that may be left out. JSON Schema says that of the object, and does not see this. */
const isOptional = Symbol('optional')

function toObject<P extends TProperties>(properties: P, options?: TObjectOptions): TObject<P>
function toObject(properties: Readonly<Record<string, object>>, options?: Options): object {
  const required = Object.keys(properties).filter(
    (name) => !(isOptional in (properties[name] ?? {}))
  )
  const requirement = required.length > 0 ? { required } : {}
  return { type: 'object', ...requirement, properties, ...options }
}

function toArray<T extends TSchema>(items: T, options?: TArrayOptions): TArray<T>
function toArray(items: object, options?: Options): object {
  return { type: 'array', items, ...options }
}

function toUnion<T extends TSchema[]>(anyOf: [...T]): TUnion<T>
function toUnion(anyOf: readonly object[]): object {
  return { anyOf }
}

function toEnum<V extends TEnumValue[]>(values: readonly [...V]): TEnum<V>
function toEnum(values: readonly unknown[]): object {
  return { enum: values }
}

function toOptional<T extends TSchema>(schema: T): TAddOptional<T>
function toOptional(schema: object): object {
  return { ...schema, [isOptional]: true }
}

function toUnsafe<T>(schema: TSchema): TUnsafe<T>
function toUnsafe(schema: object): object {
  return { ...schema }
}

function toString(options?: TStringOptions): TString
function toString(options?: Options): object {
  return { type: 'string', ...options }
}

function toNumber(options?: TNumberOptions): TNumber
function toNumber(options?: Options): object {
  return { type: 'number', ...options }
}

function toInteger(options?: TNumberOptions): TInteger
function toInteger(options?: Options): object {
  return { type: 'integer', ...options }
}

function toBoolean(): TBoolean
function toBoolean(): object {
  return { type: 'boolean' }
}

function toNull(): TNull
function toNull(): object {
  return { type: 'null' }
}

function toUnknown(): TUnknown
function toUnknown(): object {
  return {}
}

/**
 * What is used here of TypeBox's `Type`, with its types, making the same JSON Schema
 * (`test/shared/schema-type.test.ts`). The original brings an interpreter of TypeScript along: 7 MB in every process and
 * every thread.
 */
export const Type = {
  Array: toArray,
  Boolean: toBoolean,
  Enum: toEnum,
  Integer: toInteger,
  Null: toNull,
  Number: toNumber,
  Object: toObject,
  Optional: toOptional,
  String: toString,
  Union: toUnion,
  Unknown: toUnknown,
  Unsafe: toUnsafe
} as const
