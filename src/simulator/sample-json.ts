import { runInNewContext } from 'node:vm'
import {
  asJsonObject,
  getOwn,
  type JsonDraft,
  type JsonObject,
  objectsIn,
  setOwn,
  splitReference,
  valueAt
} from '../shared/json.ts'

interface Sampling {
  /** References lead into it. */
  readonly root: JsonObject
  /** Leaves out what is optional, and prefers null. */
  readonly isSmallest: boolean
  /** Levels that may follow. */
  readonly levels: number
  /** Values that may follow, in all levels together. */
  readonly room: { left: number }
}

const MAX_VALUES = 10_000

/** Makes arguments with all properties, optional ones too. */
export function sampleArguments(schema: JsonObject): JsonObject {
  const sampling = { root: schema, isSmallest: false, levels: 8, room: { left: MAX_VALUES } }
  return sampleObject(schema, sampling)
}

/** Makes a value with only what the schema requires. Does not look at `not`, `if`, `contains` and what depends on members. */
export function smallestSample(schema: JsonObject): unknown {
  const sampling = { root: schema, isSmallest: true, levels: 64, room: { left: MAX_VALUES } }
  return sampleValue(schema, sampling)
}

function sampleValue(described: unknown, sampling: Sampling): unknown {
  if (sampling.room.left-- <= 0) return null
  const schema = flatten(asJsonObject(described) ?? {}, sampling)
  const given = givenValue(schema, sampling)
  if (given !== undefined) return given
  switch (typeOf(schema, sampling)) {
    case 'object':
      return sampleObject(schema, sampling)
    case 'array':
      return sampleList(schema, sampling)
    case 'integer':
    case 'number':
      return sampleNumber(schema)
    case 'boolean':
      return true
    case 'null':
      return null
    default:
      return sampleText(schema)
  }
}

const MAX_PARTS = 100

/** Joins a schema with what it refers to, with all of `allOf`, and with one branch of a choice. */
function flatten(schema: JsonObject, sampling: Sampling): JsonObject {
  let flat: JsonObject = {}
  const open = [schema]
  for (let parts = 0; parts < MAX_PARTS; parts++) {
    const next = open.pop()
    if (next === undefined) break
    const { $ref: reference, allOf, anyOf, oneOf, ...rest } = next
    flat = join(flat, rest)
    const chosen = [anyOf, oneOf].flatMap((branches) => chooseBranch(branches, sampling))
    const parted = [...referredBy(reference, sampling.root), ...objectsIn(allOf), ...chosen]
    open.push(...parted.slice(0, MAX_PARTS))
  }
  return flat
}

/** The other's members stand, but for what both require and describe. */
function join(one: JsonObject, other: JsonObject): JsonObject {
  const { properties: ours, required } = one
  const { properties: theirs, required: more } = other
  return {
    ...one,
    ...other,
    ...(ours !== undefined && {
      properties: { ...asJsonObject(ours), ...asJsonObject(theirs) }
    }),
    ...(required !== undefined && { required: [...namesIn(required), ...namesIn(more)] })
  }
}

function referredBy(reference: unknown, root: JsonObject): readonly JsonObject[] {
  if (typeof reference !== 'string') return []
  return objectsIn([valueAt(root, splitReference(reference))])
}

/** The smallest sample needs a branch that ends: null, or one without members and references. */
function chooseBranch(value: unknown, { isSmallest }: Sampling): readonly JsonObject[] {
  const branches = objectsIn(value)
  const small = branches.find(({ type }) => type === 'null') ?? branches.find(isPlain)
  return isSmallest && small !== undefined ? [small] : branches.slice(0, 1)
}

function isPlain(schema: JsonObject): boolean {
  return schema['$ref'] === undefined && schema['properties'] === undefined
}

/** A default or an example need not be valid, so that the smallest sample does without. */
function givenValue(schema: JsonObject, { isSmallest }: Sampling): unknown {
  const certain = schema['const'] ?? firstOf(schema['enum'])
  if (certain !== undefined || isSmallest) return certain
  return schema['default'] ?? firstOf(schema['examples'])
}

function typeOf(schema: JsonObject, { isSmallest }: Sampling): unknown {
  const { type, nullable } = schema
  const types = [type].flat()
  if (isSmallest && (types.includes('null') || nullable === true)) return 'null'
  return types.find((one) => one !== 'null') ?? type ?? impliedType(schema)
}

function impliedType(schema: JsonObject): string {
  if (schema['properties'] !== undefined || schema['required'] !== undefined) return 'object'
  return schema['items'] === undefined && schema['prefixItems'] === undefined ? 'string' : 'array'
}

function sampleObject(schema: JsonObject, sampling: Sampling): JsonObject {
  if (sampling.levels === 0) return {}
  const { isSmallest } = sampling
  const below = { ...sampling, levels: sampling.levels - 1 }
  const properties = asJsonObject(schema['properties']) ?? {}
  const names = isSmallest ? namesIn(schema['required']) : Object.keys(properties)
  const sample: JsonDraft = {}
  for (const name of names) {
    if (sampling.room.left <= 0) break
    const described = getOwn(properties, name) ?? schema['additionalProperties']
    setOwn(sample, name, sampleValue(described, below))
  }
  return sample
}

const MAX_ITEMS = 1_000

function sampleList(schema: JsonObject, sampling: Sampling): unknown[] {
  if (sampling.levels === 0) return []
  const below = { ...sampling, levels: sampling.levels - 1 }
  const length = Math.min(asCount(schema['minItems'], sampling.isSmallest ? 0 : 1), MAX_ITEMS)
  const first = objectsIn(schema['prefixItems'])
  const sample: unknown[] = []
  while (sample.length < length && sampling.room.left > 0)
    sample.push(sampleValue(first[sample.length] ?? schema['items'], below))
  return sample
}

function sampleNumber(schema: JsonObject): number {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema
  const [least, most] = [numberOr(minimum, -Infinity), numberOr(maximum, Infinity)]
  const [above, below] = [
    numberOr(exclusiveMinimum, -Infinity),
    numberOr(exclusiveMaximum, Infinity)
  ]
  const [low, high] = [Math.max(least, above), Math.min(most, below)]
  const step = numberOr(multipleOf, 0)
  const integers = [
    1,
    0,
    Math.ceil(least),
    Math.floor(above) + 1,
    Math.floor(most),
    Math.ceil(below) - 1
  ]
  const multiples =
    step > 0 ? [step, Math.ceil(low / step) * step, (Math.floor(low / step) + 1) * step] : []
  const candidates = [...integers, ...multiples, (low + high) / 2]
  const fits = (n: number) =>
    n >= least && n <= most && n > above && n < below && (step <= 0 || n % step === 0)
  return candidates.find((candidate) => Number.isFinite(candidate) && fits(candidate)) ?? 1
}

/** By format. A pattern is met by one of these or not at all. */
const TEXTS: Readonly<Record<string, string>> = {
  date: '2026-01-01',
  'date-time': '2026-01-01T00:00:00Z',
  time: '00:00:00Z',
  duration: 'P1D',
  uri: 'https://example.com/',
  email: 'someone@example.com',
  hostname: 'example.com',
  ipv4: '127.0.0.1',
  ipv6: '::1',
  uuid: '00000000-0000-4000-8000-000000000000'
}
const OTHER_TEXTS = ['', 'a', 'A', '1', 'sample_text', '1.0.0', '#000000', '/sample', 'SAMPLE']
const MAX_CHARS = 10_000
const PATTERN_TIMEOUT_MS = 5_000

function sampleText(schema: JsonObject): string {
  const { format, pattern } = schema
  const shortest = Math.min(asCount(schema['minLength'], 0), MAX_CHARS)
  const longest = asCount(schema['maxLength'], MAX_CHARS)
  const plain = 'sample'.padEnd(shortest, ' sample').slice(0, longest)
  const formatted = typeof format === 'string' ? getOwn(TEXTS, format) : undefined
  const text = typeof formatted === 'string' ? formatted : plain
  if (typeof pattern !== 'string') return text
  const candidates = [text, ...OTHER_TEXTS, ...Object.values(TEXTS)]
  const fitting = candidates.filter(({ length }) => length >= shortest && length <= longest)
  return firstMatch(pattern, fitting) ?? text
}

/** Gives up on what is not a pattern, or a pattern that takes too long. */
function firstMatch(pattern: string, texts: readonly string[]): string | undefined {
  const find = 'texts.find((text) => new RegExp(pattern, "u").test(text))'
  try {
    const found: unknown = runInNewContext(
      find,
      { texts, pattern },
      { timeout: PATTERN_TIMEOUT_MS }
    )
    return typeof found === 'string' ? found : undefined
  } catch {
    return undefined
  }
}

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise
}

function asCount(value: unknown, otherwise: number): number {
  return typeof value === 'number' && value >= 0 ? Math.floor(value) : otherwise
}

function namesIn(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : []
}

function firstOf(value: unknown): unknown {
  return Array.isArray(value) ? value[0] : undefined
}
