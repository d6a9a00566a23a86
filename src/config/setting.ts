import { type TSchema, type TUnsafe, Type } from '../shared/schema-type.ts'

/**
 * How the text of a setting is written. `seconds` become milliseconds, `bytes` may end in K, M or G (powers of 1024),
 * a `list` is separated by commas, `pairs` are `a=b,c=d`, a `proxy` is what `setting-text.ts` says.
 */
export type SettingKind =
  | 'text'
  | 'path'
  | 'url'
  | 'proxy'
  | 'choice'
  | 'flag'
  | 'count'
  | 'bytes'
  | 'seconds'
  | 'list'
  | 'pairs'

/** The command line option that sets the same value and wins over the environment. */
export type SettingOption = 'host' | 'port' | 'workers'

/** What a leaf of `Settings` says besides its JSON Schema; both live in the same object. */
export interface SettingFacts {
  readonly env: string
  /** Another spelling of `env` that people and tools use; where both are set, this one wins. */
  readonly alias?: string
  readonly kind: SettingKind
  /** In the unit of the config: milliseconds, bytes. `null` is what `none` means, or that nothing was set. */
  readonly default: unknown
  readonly description: string
  /** The text that stands for `null`; without it `null` can only come from leaving the setting out. */
  readonly nullWord?: 'none' | 'auto'
  readonly option?: SettingOption
  /** Never shown: not in messages, not in the help text. */
  readonly isSecret?: boolean
  /** A running gateway can't take another value: processes, sockets or the sign-in were made with this one. */
  readonly restart?: true
  /** What is allowed, where bounds or choices do not say it. */
  readonly allowed?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly enum?: readonly string[]
}

/** A leaf of `Settings`. Its schema checks the value after the text was read, so bounds are in the config's unit. */
export type Setting<T> = TUnsafe<T> & SettingFacts

/** Makes a leaf: the JSON Schema in `schema` and the facts stay in one object. */
export function setting<T>(facts: SettingFacts, schema: TSchema): Setting<T> {
  return Object.assign(Type.Unsafe<T>(schema), facts)
}

interface NumberBounds<Default> {
  readonly min: number
  readonly max: number
  readonly default: Default
  readonly option?: SettingOption
  readonly restart?: true
}

/** The longest time that a setting allows, in seconds. Node's own timers end at 24.8 days. */
export const day = 86_400

/** A whole number. */
export function count(env: string, bounds: NumberBounds<number>, description: string) {
  return number<number>({ env, kind: 'count', description, ...bounds })
}

/** A whole number, or `nullWord` for `null`. */
export function countOr(
  nullWord: 'none' | 'auto',
  env: string,
  bounds: NumberBounds<number | null> & { readonly description: string }
) {
  return number<number | null>({ env, kind: 'count', nullWord, ...bounds })
}

/** A size in bytes. */
export function bytes(env: string, bounds: NumberBounds<number>, description: string) {
  return number<number>({ env, kind: 'bytes', description, ...bounds })
}

/** A size in bytes that may be left out. */
export function optionalBytes(
  env: string,
  bounds: Omit<NumberBounds<null>, 'default'>,
  description: string
) {
  return number<number | null>({ env, kind: 'bytes', description, ...bounds, default: null })
}

/** A duration: seconds in the environment, milliseconds in the config; the bounds given here are seconds. */
export function seconds(env: string, bounds: NumberBounds<number>, description: string) {
  return number<number>({ env, kind: 'seconds', description, ...inMilliseconds(bounds) })
}

/** A duration like `seconds`, or `none` for `null`: no limit. */
export function secondsOrNone(
  env: string,
  bounds: NumberBounds<number | null>,
  description: string
) {
  const converted = inMilliseconds(bounds)
  return number<number | null>({
    env,
    kind: 'seconds',
    nullWord: 'none',
    description,
    ...converted
  })
}

interface TextRules<Default> {
  readonly default: Default
  readonly kind?: 'text' | 'path' | 'url' | 'proxy'
  readonly alias?: string
  readonly pattern?: string
  readonly allowed?: string
  readonly isSecret?: boolean
  readonly option?: SettingOption
  readonly restart?: true
}

/** A text that always has a value. */
export function text(env: string, rules: TextRules<string>, description: string) {
  const { pattern, ...facts } = rules
  return setting<string>(
    { env, kind: 'text', description, ...facts },
    { type: 'string', minLength: 1, ...(pattern === undefined ? {} : { pattern }) }
  )
}

/** A text that may be left out. */
export function optionalText(
  env: string,
  rules: Omit<TextRules<null>, 'default'>,
  description: string
) {
  const { pattern, ...facts } = rules
  return setting<string | null>(
    { env, kind: 'text', description, default: null, ...facts },
    { type: ['string', 'null'], minLength: 1, ...(pattern === undefined ? {} : { pattern }) }
  )
}

/** True or false. */
export function flag(env: string, value: boolean, description: string) {
  return setting<boolean>({ env, kind: 'flag', default: value, description }, { type: 'boolean' })
}

/** One of some words. */
export function choice<Word extends string>(
  env: string,
  words: { readonly default: NoInfer<Word>; readonly enum: readonly Word[] },
  description: string
) {
  return setting<Word>({ env, kind: 'choice', description, ...words }, { type: 'string' })
}

interface NumberFacts extends NumberBounds<number | null> {
  readonly env: string
  readonly kind: 'count' | 'bytes' | 'seconds'
  readonly description: string
  readonly nullWord?: 'none' | 'auto'
}

function number<T extends number | null>(facts: NumberFacts): Setting<T> {
  const { min: minimum, max: maximum, ...rest } = facts
  const isNullable = facts.nullWord !== undefined || facts.default === null
  return setting<T>(
    { ...rest, minimum, maximum },
    { type: isNullable ? ['integer', 'null'] : 'integer', minimum, maximum }
  )
}

function inMilliseconds(bounds: NumberBounds<number | null>): NumberBounds<number | null> {
  const { min, max, default: value } = bounds
  const defaultMs = value === null ? null : value * 1000
  return { ...bounds, min: min * 1000, max: max * 1000, default: defaultMs }
}
