import { type TSchema, type TUnsafe, Type } from '../shared/schema-type.ts'

/**
 * `seconds` become ms; `bytes` may end in K, M or G (powers of 1024); a `list` has commas, `pairs` are `a=b,c=d`; for
 * `proxy` see `setting-text.ts`. A `url` is the beginning of others, an `address` is used as it is.
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

export interface SettingFacts {
  readonly env: string
  readonly alias?: string
  readonly kind: SettingKind
  /** In ms or bytes; `null` is what `none` means, or that nothing was set. */
  readonly default: unknown
  readonly description: string
  /** Text for `null`; without it `null` means left out. */
  readonly nullWord?: 'none' | 'auto'
  /** Command line option, which wins over the environment. */
  readonly option?: 'host' | 'port' | 'workers'
  readonly isSecret?: boolean
  readonly restart?: true
  readonly allowed?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly enum?: readonly string[]
}

/** The schema checks the value after it was read, so bounds are in the config's unit. */
export type Setting<T> = TUnsafe<T> & SettingFacts

function setting<T>(facts: SettingFacts, schema: TSchema): Setting<T> {
  return Object.assign(Type.Unsafe<T>(schema), facts)
}

interface MoreFacts
  extends Pick<SettingFacts, 'alias' | 'option' | 'isSecret' | 'restart' | 'allowed'> {}

type OrNull<T, Facts> = Facts extends { default: null } | { nullWord: string } ? T | null : T

interface NumberFacts extends MoreFacts {
  readonly min: number
  readonly max: number
  readonly default: number | null
  readonly nullWord?: 'none' | 'auto'
}

/** In seconds. Node's timers end at 24.8 days. */
export const DAY = 86_400

export const count = numbersOf('count', 1)
export const bytes = numbersOf('bytes', 1)
/** Seconds in the environment and in bounds, ms in the config. */
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
  readonly default?: string
  readonly kind?: 'text' | 'path' | 'url' | 'address' | 'proxy'
  readonly pattern?: string
}

/** `null` without a default. */
export function text<const Facts extends TextFacts>(
  env: string,
  facts: Facts,
  description: string
) {
  const { pattern, default: value, ...more }: TextFacts = facts
  return setting<Facts extends { default: string } ? string : string | null>(
    { env, kind: 'text', description, default: value ?? null, ...more },
    {
      type: value === undefined ? ['string', 'null'] : 'string',
      minLength: 1,
      ...(pattern !== undefined && { pattern })
    }
  )
}

interface TextBounds {
  readonly pattern?: string
  readonly minLength?: number
  readonly maxLength?: number
}

interface ListFacts extends MoreFacts {
  readonly items: TextBounds
}

/** Empty by default. */
export function list(env: string, { items, ...more }: ListFacts, description: string) {
  return setting<string[]>(
    { env, kind: 'list', default: [], description, ...more },
    { type: 'array', items: { type: 'string', ...items } }
  )
}

interface PairsFacts extends MoreFacts {
  readonly names?: TextBounds
  readonly values: TextBounds
}

/** Empty by default. */
export function pairs(env: string, { names, values, ...more }: PairsFacts, description: string) {
  return setting<Record<string, string>>(
    { env, kind: 'pairs', default: {}, description, ...more },
    {
      type: 'object',
      ...(names !== undefined && { propertyNames: names }),
      additionalProperties: { type: 'string', ...values }
    }
  )
}

export function flag(env: string, value: boolean, description: string, more: MoreFacts = {}) {
  const facts = { env, description, default: value, ...more }
  return setting<boolean>({ kind: 'flag', ...facts }, { type: 'boolean' })
}

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
