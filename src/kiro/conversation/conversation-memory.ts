import { hash as hashOf } from 'node:crypto'

/** Parts of a conversation that something is remembered of; of an account, where its id stands for one. */
export interface ConversationParts {
  readonly conversationId: string
  /** Hashes of the parts; never a word of them. */
  readonly hashes: readonly string[]
  /** It may be another matter in an hour. */
  readonly isBrief?: boolean
}

/** The beginning of a request. */
export interface ConversationStart {
  /** Id of the conversation, see `startOf()`. */
  readonly conversationId: string
  /** Its hash. */
  readonly systemText: string
  /** The conversation had a request before. */
  readonly isGrown: boolean
}

/** Parts of conversations that were refused, by the id of each: hashes, one a line. Plain data: it crosses threads. */
export type Lessons = ReadonlyMap<string, string>

/** True if one of these parts is among the lessons. */
export function isLearnt(
  lessons: Lessons,
  { conversationId, hashes }: Omit<ConversationParts, 'isBrief'>
): boolean {
  const lines = lessons.get(conversationId)
  return lines !== undefined && hashes.some((hash) => lines.includes(`\n${hash}\n`))
}

/** In base64: 12 bytes. */
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
/** Stands among the hashes of a conversation whose changing system text was told of. */
const SYSTEM_TEXT = 'system text'

interface Known {
  readonly until: number
  readonly isBrief: boolean
  /** Hashes, one a line: 2 KB at most, where a set takes 15. Bounded by MAX_HASHES. */
  readonly lines: string
}

/**
 * Remembers lessons about conversations: the parts that the upstream refused, so that not every round of them costs
 * two calls, and which of them change their system text. Forgets what is a day old, or an hour, and the oldest where it is too
 * much.
 */
export class ConversationMemory {
  readonly #tell: (learnt: ConversationParts) => void
  readonly #now: () => number
  /** Bounded by MAX_CONVERSATIONS. */
  readonly #known = new Map<string, Known>()
  /** Result of `lessons()` until something is learnt, or the first of them is forgotten. */
  #lessons: { readonly all: Lessons; readonly until: number } | null = null
  /** The last system text of each, by its hash. Bounded by MAX_STARTS; of this process alone. */
  readonly #starts = new Map<string, string>()

  /** Calls `tell` with every lesson that is learnt here; `now` gives monotonic milliseconds. */
  constructor(tell: (learnt: ConversationParts) => void = () => {}, now = () => performance.now()) {
    this.#tell = tell
    this.#now = now
  }

  learn(parts: ConversationParts): void {
    this.onLearnt(parts)
    this.#tell(parts)
  }

  /** Another process has found this out. */
  onLearnt({ conversationId, hashes, isBrief = false }: ConversationParts): void {
    const earlier = hashesIn(this.#known.get(conversationId)?.lines ?? '')
    const until = this.#now() + (isBrief ? BRIEF_MS : REMEMBERED_MS)
    const all = [...new Set([...earlier, ...hashes])].slice(-MAX_HASHES)
    const lines = ['', ...all, ''].join('\n')
    setNewest(this.#known, MAX_CONVERSATIONS, conversationId, { until, isBrief, lines })
    this.#lessons = null
  }

  /** One of these is remembered of this conversation. */
  has({ conversationId, hashes }: ConversationParts): boolean {
    const known = this.#known.get(conversationId)
    if (known === undefined) return false
    if (known.until <= this.#now()) this.#known.delete(conversationId)
    else return hashes.some((hash) => known.lines.includes(`\n${hash}\n`))
    return false
  }

  /** Everything that conversations are to be written without. */
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

  /** Everything, for a process that begins. */
  all(): readonly ConversationParts[] {
    const now = this.#now()
    return [...this.#known].flatMap(([conversationId, { until, isBrief, lines }]) =>
      until <= now ? [] : [{ conversationId, hashes: hashesIn(lines), ...(isBrief && { isBrief }) }]
    )
  }

  /** True where the system text is another than in the request before, once for each conversation. */
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

/** The oldest goes where there are more than `max`. */
function setNewest<V>(map: Map<string, V>, max: number, key: string, value: V): void {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > max && oldest !== undefined) map.delete(oldest)
}
