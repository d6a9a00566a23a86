import { hash as hashOf } from 'node:crypto'
import { asJsonObject } from '../../shared/json.ts'
import { setNewest } from '../../shared/newest.ts'
import type { UpstreamPayload } from '../wire/payload.ts'
import { withoutReasoning } from './signed-reasoning.ts'

/** Refused parts of a conversation; of an account, if its id is `conversationId`. */
export interface ConversationParts {
  readonly conversationId: string
  readonly hashes: readonly string[]
  /** Forgotten after an hour instead of a day. */
  readonly isBrief?: boolean
}

export interface ConversationStart {
  readonly conversationId: string
  readonly systemText: string
  readonly isGrown: boolean
}

/** Refused parts by conversation: hashes, one a line. Plain data: it crosses threads. */
export type Lessons = ReadonlyMap<string, string>

export function isLearnt(
  lessons: Lessons,
  { conversationId, hashes }: Omit<ConversationParts, 'isBrief'>
): boolean {
  const lines = lessons.get(conversationId)
  return lines !== undefined && hashes.some((hash) => lines.includes(`\n${hash}\n`))
}

const HASH_CHARS = 16

export function hashOfPart(...words: readonly string[]): string {
  const text = words.map((word) => `${word.length} ${word}`).join('')
  return hashOf('sha256', text, 'base64').slice(0, HASH_CHARS)
}

const BRIEF_MS = 60 * 60 * 1000
const REMEMBERED_MS = 24 * BRIEF_MS
const MAX_CONVERSATIONS = 1000
const MAX_HASHES = 128
const MAX_STARTS = 2000
/** Marks a conversation whose changing system text was logged. */
const SYSTEM_TEXT = 'system text'

interface Known {
  readonly until: number
  readonly isBrief: boolean
  /** Hashes, one a line: 2 KB at most, where a set takes 15. Bounded by MAX_HASHES. */
  readonly lines: string
}

/** Remembers refused parts of conversations, or each round would cost two calls, and changing system texts. */
export class ConversationMemory {
  readonly #tell: (learnt: ConversationParts) => void
  readonly #now: () => number
  /** Bounded by MAX_CONVERSATIONS. */
  readonly #known = new Map<string, Known>()
  /** Cached until something is learnt or expires. */
  #lessons: { readonly all: Lessons; readonly until: number } | null = null
  /** Hash of each conversation's last system text. Bounded by MAX_STARTS; of this process alone. */
  readonly #starts = new Map<string, string>()

  constructor(tell: (learnt: ConversationParts) => void = () => {}, now = () => performance.now()) {
    this.#tell = tell
    this.#now = now
  }

  learn(parts: ConversationParts): void {
    this.onLearnt(parts)
    this.#tell(parts)
  }

  onLearnt({ conversationId, hashes, isBrief = false }: ConversationParts): void {
    const earlier = hashesIn(this.#known.get(conversationId)?.lines ?? '')
    const until = this.#now() + (isBrief ? BRIEF_MS : REMEMBERED_MS)
    const all = [...new Set([...earlier, ...hashes])].slice(-MAX_HASHES)
    const lines = ['', ...all, ''].join('\n')
    setNewest(this.#known, MAX_CONVERSATIONS, conversationId, { until, isBrief, lines })
    this.#lessons = null
  }

  has({ conversationId, hashes }: ConversationParts): boolean {
    const known = this.#known.get(conversationId)
    if (known === undefined) return false
    if (known.until <= this.#now()) this.#known.delete(conversationId)
    else return hashes.some((hash) => known.lines.includes(`\n${hash}\n`))
    return false
  }

  lessons(): Lessons {
    const now = this.#now()
    if (this.#lessons === null || this.#lessons.until <= now) {
      const known = [...this.#known].filter(
        ([, { until, lines }]) => until > now && lines !== `\n${SYSTEM_TEXT}\n`
      )
      const all = new Map(known.map(([id, { lines }]) => [id, lines]))
      this.#lessons = { all, until: Math.min(...known.map(([, { until }]) => until)) }
    }
    return this.#lessons.all
  }

  all(): readonly ConversationParts[] {
    const now = this.#now()
    return [...this.#known].flatMap(([conversationId, { until, isBrief, lines }]) =>
      until <= now ? [] : [{ conversationId, hashes: hashesIn(lines), ...(isBrief && { isBrief }) }]
    )
  }

  /** True if the system text changed since the last request; once per conversation. */
  hasNewSystemText({ conversationId, systemText, isGrown }: ConversationStart): boolean {
    const before = this.#starts.get(conversationId)
    setNewest(this.#starts, MAX_STARTS, conversationId, systemText)
    if (!isGrown || before === undefined || before === systemText) return false
    const told = { conversationId, hashes: [SYSTEM_TEXT] }
    if (this.has(told)) return false
    this.learn(told)
    return true
  }
}

function hashesIn(lines: string): readonly string[] {
  return lines.split('\n').filter((line) => line !== '')
}

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

interface FieldsParty {
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

export interface RefusedBefore {
  /** `CredentialSnapshot.id` */
  readonly account: string
  readonly lessons: Lessons
}

export interface LeftOut {
  readonly reasoning: boolean
  readonly fields: readonly string[]
}

interface SentParts {
  readonly replay?: ConversationParts
  readonly fields?: RequestFields
}

export function leaveOutRefused(
  payload: UpstreamPayload,
  { replay, fields }: SentParts,
  { model, account, lessons }: RefusedBefore & { readonly model: string }
): { readonly payload: UpstreamPayload; readonly leftOut: LeftOut } {
  const isRefused = (parts: ConversationParts): boolean => isLearnt(lessons, parts)
  const reasoning = replay !== undefined && isRefused(replay)
  const refused = fields === undefined ? [] : rememberedPaths({ account, model }, fields, isRefused)
  const thoughtless = reasoning ? withoutReasoning(payload) : payload
  return {
    payload: refused.length > 0 ? withoutFields(thoughtless, refused) : thoughtless,
    leftOut: { reasoning, fields: refused }
  }
}
