import { asJsonObject } from '../../shared/json.ts'
import type { UpstreamPayload } from '../wire/payload.ts'
import { type ConversationParts, hashOfPart } from './conversation-memory.ts'

/** Fields in `additionalModelRequestFields` (kiro-protocol §9.2). */
export interface RequestFields {
  /** Fields and their members: `thinking`, `thinking.type`. */
  readonly paths: readonly string[]
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

/** Finds the refused field; `null` if the refusal names none of these. */
export function refusedPath(paths: readonly string[], refusal: string): string | null {
  const [, property = ''] = PROPERTY.exec(refusal) ?? []
  const words = new Set(refusal.split(/[^\w.]+/))
  const named =
    paths.find((path) => path === property || path.endsWith(`.${property}`)) ??
    paths.find((path) => words.has(path))
  if (named === undefined) return null
  // A refused value was all that its field had to say.
  return UNDECLARED.test(refusal) ? named : (named.split('.')[0] ?? null)
}

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

export interface FieldsParty {
  readonly account: string
  readonly model: string
}

/** Remembers refused fields for the model, or all fields for all models of the account. */
export function fieldsLesson(
  { account, model }: FieldsParty,
  refused: readonly string[] | 'all'
): ConversationParts {
  const hashes = refused === 'all' ? [ALL] : refused.map((path) => hashOfPart(model, path))
  return { conversationId: hashOfPart('fields', account), hashes, isBrief: true }
}

const ALL = 'all fields'

export function rememberedPaths(
  party: FieldsParty,
  { paths }: RequestFields,
  isRefused: (parts: ConversationParts) => boolean
): readonly string[] {
  if (isRefused(fieldsLesson(party, 'all'))) return paths
  return paths.filter((path) => isRefused(fieldsLesson(party, [path])))
}
