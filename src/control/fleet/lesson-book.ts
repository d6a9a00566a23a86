import type { Learnt } from '../../kiro/models/tokens.ts'
import type { AuthType } from '../../kiro/wire/credential-snapshot.ts'
import type { LearntForm, RequestForm, RuntimeOperation } from '../../kiro/wire/hosts.ts'
import { isJsonObject, type JsonObject, parseJsonObject } from '../../shared/json.ts'

/*
 * The lessons of all gateways of a fleet about the upstream. If two have learnt the same thing at once, one is believed: the next
 * lessons make up for the loss.
 */

/** Number of lessons in it: more lessons take precedence. */
interface Counted {
  readonly n: number
}

export interface LessonBook {
  /** Lessons about tokenizers, by model. */
  readonly tokens: Readonly<Record<string, Learnt & Counted>>
  /** Lessons about forms of request, by operation, kind of account and host. */
  readonly forms: Readonly<Record<string, LearntForm & Counted>>
}

export const NO_LESSONS: LessonBook = { tokens: {}, forms: {} }

/** As many as a gateway remembers. */
const MAX_LESSONS = 64
const MAX_NAME_CHARS = 512
const MAX_N = 2 ** 48
/** Least change in a correction of estimates that is worth telling. */
const WORTH = 0.02

export function formName({ operation, authType, host }: Omit<LearntForm, 'form'>): string {
  return `${operation} ${authType} ${host}`
}

/** Merges two books. Commutative, associative, idempotent. */
export function mergeLessons(a: LessonBook, b: LessonBook): LessonBook {
  return {
    tokens: mergeBy(a.tokens, b.tokens, ({ measured, estimated }) => [measured, estimated]),
    forms: mergeBy(a.forms, b.forms, ({ form }) => [form === 'path' ? 0 : 1])
  }
}

/** True if the others should learn this: another form, another model, or different corrections of estimates. */
export function isWorthTelling(own: LessonBook, there: LessonBook): boolean {
  const ofTokens = Object.values(own.tokens).some((learnt) => {
    const known = there.tokens[learnt.modelId]
    if (known === undefined || learnt.n <= known.n) return known === undefined
    const ratio = learnt.measured / learnt.estimated / (known.measured / known.estimated)
    return Math.abs(ratio - 1) >= WORTH
  })
  return (
    ofTokens || Object.entries(own.forms).some(([name, { n }]) => n > (there.forms[name]?.n ?? 0))
  )
}

/** Parses a lesson book; `null` for anything else. Never throws: the record may contain anything. */
export function parseLessons(text: string): LessonBook | null {
  const book = parseJsonObject(text)
  const tokens = readAll(book?.['tokens'], readLearnt)
  const forms = readAll(book?.['forms'], readForm)
  return tokens === null || forms === null ? null : { tokens, forms }
}

function mergeBy<V extends Counted>(
  a: Readonly<Record<string, V>>,
  b: Readonly<Record<string, V>>,
  rankOf: (value: V) => readonly number[]
): Readonly<Record<string, V>> {
  const merged = new Map(Object.entries(a))
  for (const [name, value] of Object.entries(b)) {
    const known = merged.get(name)
    if (known === undefined || isAbove([value.n, ...rankOf(value)], [known.n, ...rankOf(known)]))
      merged.set(name, value)
  }
  const best = [...merged].toSorted(([x, one], [y, other]) => other.n - one.n || (x < y ? -1 : 1))
  return Object.fromEntries(best.slice(0, MAX_LESSONS))
}

function isAbove(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, index) => value !== b[index])
  return at !== -1 && Number(a[at]) > Number(b[at])
}

function readAll<V>(
  value: unknown,
  read: (one: JsonObject, name: string) => V | null
): Record<string, V> | null {
  if (!isJsonObject(value)) return null
  const all: [string, V][] = []
  for (const [name, one] of Object.entries(value)) {
    const entry = isJsonObject(one) && name.length <= MAX_NAME_CHARS ? read(one, name) : null
    if (entry === null || all.length >= MAX_LESSONS) return null
    all.push([name, entry])
  }
  return Object.fromEntries(all)
}

function readLearnt(value: JsonObject, name: string): (Learnt & Counted) | null {
  const { n, modelId, estimated, measured } = value
  if (modelId !== name || !isCount(n) || !isCount(estimated) || !isCount(measured)) return null
  return n > 0 && estimated > 0 && measured > 0 ? { n, modelId, estimated, measured } : null
}

const OPERATIONS: readonly RuntimeOperation[] = ['generate', 'mcp']
const FORMS: readonly RequestForm[] = ['path', 'target']
const AUTH_TYPES: readonly AuthType[] = ['social', 'builder-id', 'idc', 'external-idp', 'api-key']

function readForm(value: JsonObject, name: string): (LearntForm & Counted) | null {
  const { n, host } = value
  const operation = OPERATIONS.find((one) => one === value['operation'])
  const form = FORMS.find((one) => one === value['form'])
  const authType = AUTH_TYPES.find((one) => one === value['authType'])
  if (operation === undefined || form === undefined || authType === undefined) return null
  if (!isCount(n) || typeof host !== 'string' || !URL.canParse(host)) return null
  const learnt = { host, authType, operation, form, n }
  return formName(learnt) === name ? learnt : null
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= MAX_N
}
