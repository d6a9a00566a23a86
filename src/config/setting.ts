import { type TSchema, type TUnsafe, Type } from '../shared/schema-type.ts'

/**
 * Notation of a setting. `seconds` become milliseconds, `bytes` may end in K, M or G (powers of 1024), a `list` is
 * separated by commas, `pairs` are `a=b,c=d`, for a `proxy` see `setting-text.ts`. A `url` is the beginning of others,
 * an `address` is used as it is.
 */
export type SettingKind =
  | 'text'
  | 'path'
  | 'url'
  | 'address'
  | 'proxy'
  | 'choice'
  | 'flag'
  | 'count'
  | 'bytes'
  | 'seconds'
  | 'list'
  | 'pairs'

/** Facts of a leaf of `Settings` besides its JSON Schema; both live in the same object. */
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
  /** The command line option that sets the same value and wins over the environment. */
  readonly option?: 'host' | 'port' | 'workers'
  /** Never shown: not in messages, not in the help text. */
  readonly isSecret?: boolean
  /** A running gateway can't take another value: processes, sockets or the sign-in were made with this one. */
  readonly restart?: true
  /** Description of the allowed values, if bounds or choices do not suffice. */
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

/** Facts for the builders below, besides name and description. */
interface MoreFacts
  extends Pick<SettingFacts, 'alias' | 'option' | 'isSecret' | 'restart' | 'allowed'> {}

/** `null` is possible where it is the default, or what the null word means. */
type OrNull<T, Facts> = Facts extends { default: null } | { nullWord: string } ? T | null : T

interface NumberFacts extends MoreFacts {
  readonly min: number
  readonly max: number
  readonly default: number | null
  readonly nullWord?: 'none' | 'auto'
}

/** The longest time that a setting allows, in seconds. Node's own timers end at 24.8 days. */
export const DAY = 86_400

/** A whole number. */
export const count = numbersOf('count', 1)
/** A size in bytes. */
export const bytes = numbersOf('bytes', 1)
/** A duration: seconds in the environment and in the bounds given here, milliseconds in the config. */
export const seconds = numbersOf('seconds', 1000)

function numbersOf(kind: SettingKind, scale: number) {
  return <const Facts extends NumberFacts>(env: string, facts: Facts, description: string) => {
    const { min, max, default: value, ...more }: NumberFacts = facts
    const range = { minimum: min * scale, maximum: max * scale }
    const isNullable = value === null || more.nullWord !== undefined
    return setting<OrNull<number, Facts>>(
      { env, kind, description, ...more, ...range, default: value === null ? null : value * scale },
      { type: isNullable ? ['integer', 'null'] : 'integer', ...range }
    )
  }
}

interface TextFacts extends MoreFacts {
  readonly default: string | null
  readonly kind?: 'text' | 'path' | 'url' | 'address' | 'proxy'
  readonly pattern?: string
}

/** A text; one whose default is `null` may be left out. */
export function text<const Facts extends TextFacts>(
  env: string,
  facts: Facts,
  description: string
) {
  const { pattern, ...more }: TextFacts = facts
  return setting<OrNull<string, Facts>>(
    { env, kind: 'text', description, ...more },
    {
      type: more.default === null ? ['string', 'null'] : 'string',
      minLength: 1,
      ...(pattern !== undefined && { pattern })
    }
  )
}

/** True or false. */
export function flag(env: string, value: boolean, description: string) {
  return setting<boolean>({ env, kind: 'flag', default: value, description }, { type: 'boolean' })
}

/** One of some words. */
export function choice<Word extends string>(
  env: string,
  words: {
    readonly default: NoInfer<Word>
    readonly enum: readonly Word[]
    readonly restart?: true
  },
  description: string
) {
  return setting<Word>({ env, kind: 'choice', description, ...words }, { type: 'string' })
}
