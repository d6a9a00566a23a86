import { createHash } from 'node:crypto'
import { narrow } from '../../dialects/lint/narrow.ts'
import { decodePayload } from '../../dialects/request/payload-bytes.ts'
import { withoutReasoning } from '../../kiro/conversation/signed-reasoning.ts'
import { type Part, RequestParts, type Selection } from '../../dialects/lint/request-parts.ts'
import { isJsonObject, type JsonObject } from '../../shared/json.ts'

/** `other`: refused, but for a reason that the upstream names, or with other words. */
export type CandidateVerdict = 'refused' | 'taken' | 'other'

export interface Candidate {
  readonly payload: Uint8Array
  /** Identifies what is sent, whatever its conversation is called. */
  readonly id: string
  /** For people, such as `12 of 40 parts`. */
  readonly label: string
}

export interface RefusalSearchOptions {
  readonly body: JsonObject
  /** `null` for a request that the gateway itself would refuse. */
  readonly convert: (body: JsonObject) => Uint8Array | null
  /** @throws {RequestsSpent}, and whatever else ends the search */
  readonly ask: (candidate: Candidate) => Promise<CandidateVerdict>
}

/** No more requests may be sent in this run. */
export class RequestsSpent extends Error {}

export interface Found {
  /** Refused together; with them, only what they cannot be sent without. None: the signed reasoning of earlier answers. */
  readonly parts: readonly Part[]
  /** `once`: not asked for again; `flaky`: taken when it was. */
  readonly certainty: 'once' | 'sure' | 'flaky'
}

export type SearchEnd =
  /** All that is refused was found. */
  | 'complete'
  /** Requests ran out; `smallest` is what is known by then. */
  | 'unfinished'
  /** Even a greeting is refused: it is not about this request. */
  | 'greeting-refused'
  | 'taken'
  /** The whole request is refused at one time and taken at another. */
  | 'flaky'
  /** The upstream says why. */
  | 'explained'

export interface RefusalSearchResult {
  readonly end: SearchEnd
  readonly found: readonly Found[]
  /** The smallest part of the request that was refused, while the search is unfinished. */
  readonly smallest: readonly Part[]
}

const MAX_FOUND = 4

/** A level of the search has at least so many items, if there are. */
const MANY = 16

/** A part, or of an object only what makes it what it is. */
interface Item {
  readonly part: Part
  readonly isFrame: boolean
}

function wholeItem(part: Part): Item {
  return { part, isFrame: false }
}

function selectionOf(items: readonly Item[], leftOut: readonly Part[]): Selection {
  const { frames = [], kept = [] } = Object.groupBy(items, ({ isFrame }) =>
    isFrame ? 'frames' : 'kept'
  )
  return { kept: kept.map(({ part }) => part), framed: frames.map(({ part }) => part), leftOut }
}

/** Halves a request that the upstream refuses without saying why, until no part of what is left can be spared. */
export class RefusalSearch {
  readonly #options: RefusalSearchOptions
  readonly #parts: RequestParts
  readonly #verdicts = new Map<string, CandidateVerdict>()
  readonly #found: Found[] = []
  #smallest: { readonly parts: readonly Part[]; readonly bytes: number } | null = null

  constructor(options: RefusalSearchOptions) {
    this.#options = options
    this.#parts = new RequestParts(options.body)
  }

  /** @throws what `ask` throws, except `RequestsSpent` */
  async run(): Promise<RefusalSearchResult> {
    try {
      return this.#result(await this.#search())
    } catch (cause) {
      if (!(cause instanceof RequestsSpent)) throw cause
      return this.#result('unfinished')
    }
  }

  async #search(): Promise<SearchEnd> {
    const greeting = await this.#judge({ kept: [] }, 'a greeting alone')
    if (greeting !== 'taken') return 'greeting-refused'
    const whole = await this.#judgeWhole()
    if (whole !== 'refused') return whole === 'other' ? 'explained' : whole
    const all = this.#parts.roots()
    const leftOut: Part[] = []
    if ((await this.#judge({ kept: all }, 'the request without signed reasoning')) !== 'refused') {
      this.#found.push({ parts: [], certainty: 'once' })
      return 'complete'
    }
    for (let count = 0; count < MAX_FOUND; count++) {
      const parts = await this.#smallestIn(all, leftOut)
      const found = { parts, certainty: 'once' } as const
      this.#found.push(found)
      const again = await this.#judge({ kept: parts, leftOut }, 'the same once more', '#2')
      const certainty = again === 'refused' ? 'sure' : 'flaky'
      this.#found[count] = { ...found, certainty }
      leftOut.push(...parts.slice(0, 1))
      const rest = await this.#judge({ kept: all, leftOut }, 'the request without it')
      if (rest !== 'refused' || certainty === 'flaky') break
    }
    return 'complete'
  }

  async #judgeWhole(): Promise<CandidateVerdict | 'flaky'> {
    const { body } = this.#options
    const first = await this.#judgeBody(body, 'the whole request')
    if (first !== 'taken') return first
    const second = await this.#judgeBody(body, 'the whole request, again', '#2')
    return second === 'refused' ? 'flaky' : 'taken'
  }

  async #smallestIn(all: readonly Part[], leftOut: readonly Part[]): Promise<readonly Part[]> {
    let items: readonly Item[] = all.map(wholeItem)
    for (;;) {
      const count = items.length
      const needed = await narrow(items, (some) =>
        this.#isRefused(selectionOf(some, leftOut), `${some.length} of ${count} parts`)
      )
      const divided = this.#divide(needed)
      if (divided === null) return needed.map(({ part }) => part)
      items = divided
    }
  }

  /** Divides items until there are enough for a search to be worth its last question. */
  #divide(needed: readonly Item[]): readonly Item[] | null {
    let items: readonly Item[] = needed
    for (let isDivided = false; ; isDivided = true) {
      const divided = items.map((item) => this.#partsOf(item))
      const isWhole = divided.every((parts) => parts === null)
      if (isWhole || (isDivided && items.length >= MANY)) return isDivided ? items : null
      items = divided.flatMap((parts, index) => parts ?? items[index] ?? [])
    }
  }

  #partsOf({ part, isFrame }: Item): readonly Item[] | null {
    const parts = isFrame ? [] : this.#parts.partsOf(part)
    if (parts.length === 0) return null
    const frame = isJsonObject(this.#parts.valueOf(part)) ? [{ part, isFrame: true }] : []
    return [...frame, ...parts.map(wholeItem)]
  }

  async #isRefused(selection: Selection, label: string): Promise<boolean> {
    return (await this.#judge(selection, label)) === 'refused'
  }

  async #judge(selection: Selection, label: string, suffix = ''): Promise<CandidateVerdict> {
    const payload = this.#options.convert(this.#parts.compose(selection))
    if (payload === null) return 'other' // our own rules refuse it
    const plain = withoutSignatures(payload)
    const verdict = await this.#verdictOf(plain, label, suffix)
    const bytes = plain.byteLength
    if (verdict === 'refused' && !(bytes >= (this.#smallest?.bytes ?? Infinity))) {
      this.#smallest = { parts: [...(selection.framed ?? []), ...selection.kept], bytes }
    }
    return verdict
  }

  async #judgeBody(body: JsonObject, label: string, suffix = ''): Promise<CandidateVerdict> {
    const payload = this.#options.convert(body)
    return payload === null ? 'other' : this.#verdictOf(payload, label, suffix)
  }

  async #verdictOf(payload: Uint8Array, label: string, suffix: string): Promise<CandidateVerdict> {
    const id = identityOf(payload) + suffix
    const known = this.#verdicts.get(id)
    if (known !== undefined) return known
    const verdict = await this.#options.ask({ payload, id, label })
    this.#verdicts.set(id, verdict)
    return verdict
  }

  #result(end: SearchEnd): RefusalSearchResult {
    const smallest = end === 'unfinished' ? (this.#smallest?.parts ?? []) : []
    return { end, found: this.#found, smallest }
  }
}

/** Ignores the ids of a conversation, which differ without a reason. */
function identityOf(payload: Uint8Array): string {
  const { conversationState, ...others } = decodePayload(payload)
  const { history, currentMessage } = conversationState
  const text = JSON.stringify({ ...others, history, currentMessage })
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

/** Signatures hold after the same conversation alone, which a part of it is not. */
function withoutSignatures(payload: Uint8Array): Uint8Array {
  return Buffer.from(JSON.stringify(withoutReasoning(decodePayload(payload))))
}
