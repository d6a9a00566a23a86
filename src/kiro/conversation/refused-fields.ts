import { asJsonObject } from '../../shared/json.ts'
import type { UpstreamPayload } from '../wire/payload.ts'
import { type ConversationParts, hashOfPart } from './conversation-memory.ts'

/** Fields of a request in `additionalModelRequestFields` (kiro-protocol §9.2). */
export interface RequestFields {
  /** The fields and what is in them: `thinking`, `thinking.type`. */
  readonly paths: readonly string[]
  /** The bound for the answer that is among them. */
  readonly maxTokens?: number
}

export function requestFieldsOf({
  additionalModelRequestFields: fields = {}
}: UpstreamPayload): RequestFields | undefined {
  const paths = Object.entries(fields).flatMap(([name, value]) => [
    name,
    ...Object.keys(asJsonObject(value) ?? {}).map((inner) => `${name}.${inner}`)
  ])
  const { max_tokens: maxTokens } = fields
  if (paths.length === 0) return undefined
  return { paths, ...(typeof maxTokens === 'number' && { maxTokens }) }
}

const PROPERTY = /\bproperty ['"`]([\w.]+)['"`]/i
const UNDECLARED = /not defined in the schema/i

/** The field that a refusal is about; `null` where it names none of these. */
export function refusedPath(paths: readonly string[], refusal: string): string | null {
  const [, property = ''] = PROPERTY.exec(refusal) ?? []
  const words = new Set(refusal.split(/[^\w.]+/))
  const named =
    paths.find((path) => path === property || path.endsWith(`.${property}`)) ??
    paths.find((path) => words.has(path))
  if (named === undefined) return null
  // A value that is refused was all that its field had to say.
  return UNDECLARED.test(refusal) ? named : (named.split('.')[0] ?? null)
}

/** A payload that does not say these; what was left with nothing in it goes, too. */
export function withoutFields(
  payload: UpstreamPayload,
  refused: readonly string[]
): UpstreamPayload {
  const { additionalModelRequestFields: fields = {}, ...rest } = payload
  const left = Object.entries(fields).flatMap(([name, value]) => {
    if (refused.includes(name)) return []
    const members = asJsonObject(value)
    if (members === null) return [[name, value] as const]
    const inner = Object.entries(members).filter(
      ([member]) => !refused.includes(`${name}.${member}`)
    )
    return inner.length === 0 ? [] : [[name, Object.fromEntries(inner)] as const]
  })
  if (left.length === 0) return rest
  return { ...rest, additionalModelRequestFields: Object.fromEntries(left) }
}

/** Returns which of the paths a payload still says after `withoutFields()` of those that were dropped. */
export function leftPaths(
  paths: readonly string[],
  dropped: ReadonlySet<string>
): readonly string[] {
  const isLeft = (path: string): boolean =>
    !dropped.has(path) && !dropped.has(path.split('.')[0] ?? '')
  return paths.filter((path) => {
    const inner = paths.filter((one) => one.startsWith(`${path}.`))
    return isLeft(path) && (inner.length === 0 || inner.some(isLeft))
  })
}

/** Owner of the fields. */
export interface FieldsParty {
  /** `CredentialSnapshot.id` */
  readonly account: string
  /** As the upstream spells it. */
  readonly model: string
}

/** Fields that an account was refused, as they are remembered: for the model that it was, or all of them for all models. */
export function fieldsLesson(
  { account, model }: FieldsParty,
  refused: readonly string[] | 'all'
): ConversationParts {
  const hashes = refused === 'all' ? [ALL] : refused.map((path) => hashOfPart(model, path))
  return { conversationId: hashOfPart('fields', account), hashes, isBrief: true }
}

const ALL = 'all fields'

/** Selects the fields that the account was refused before, according to `isRefused`. */
export function rememberedPaths(
  party: FieldsParty,
  { paths }: RequestFields,
  isRefused: (parts: ConversationParts) => boolean
): readonly string[] {
  if (isRefused(fieldsLesson(party, 'all'))) return paths
  return paths.filter((path) => isRefused(fieldsLesson(party, [path])))
}
