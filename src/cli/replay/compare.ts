import { SecretMasker } from '../../observe/secret-masker.ts'
import { type AnswerEvent, eventsOf, joinPieces, type Piece } from './answer-pieces.ts'
import { parseJson } from '../../shared/json.ts'

export interface Difference {
  readonly part: 'status' | 'answer' | 'upstream-request' | 'calls'
  readonly number: number
  readonly name: string
  /** RFC 6901; empty for the whole. */
  readonly pointer: string
  readonly was: string | null
  readonly is: string | null
}

export interface CompareOptions {
  /** The client had left: ignores what follows. */
  readonly isPrefix: boolean
}

/** `null` if only ids and times differ. */
export function compareAnswers(
  was: Buffer,
  is: Buffer,
  { isPrefix }: CompareOptions
): Difference | null {
  const [then, now] = [was, is].map((answer) => {
    const normal = new Normalizer()
    return joinPieces(eventsOf(masked(answer))).map((event) => ({
      ...event,
      head: normal.text(event.head),
      text: normal.text(event.text),
      tail: normal.text(event.tail)
    }))
  })
  const count = isPrefix ? (then?.length ?? 0) : Math.max(then?.length ?? 0, now?.length ?? 0)
  for (let index = 0; index < count; index++) {
    const [before, after] = [then?.[index], now?.[index]]
    const isCut = isPrefix && index === count - 1
    const found = compareEvents(
      before && toEvent(before),
      after && toEvent(isCut ? { ...after, text: after.text.slice(0, before?.text.length) } : after)
    )
    if (found !== null) return { part: 'answer', number: index + 1, ...found }
  }
  return null
}

export function compareRequests(was: Buffer, is: Buffer, number: number): Difference | null {
  const [then, now] = [was, is].map((body) => {
    const normal = new Normalizer().text(masked(body))
    return normal.replace(/^\{"profileArn":"[^"]*",/, '{')
  })
  const found = compareEvents({ name: '', data: then ?? '' }, { name: '', data: now ?? '' })
  return found === null ? null : { part: 'upstream-request', number, ...found }
}

export function countEvents(answer: Buffer): number {
  return eventsOf(answer.toString()).length
}

function compareEvents(
  was: AnswerEvent | undefined,
  is: AnswerEvent | undefined
): (Place & Pick<Difference, 'name'>) | null {
  const name = was?.name ?? is?.name ?? ''
  if (was === undefined || is === undefined) {
    return { name, pointer: '', was: was?.data ?? null, is: is?.data ?? null }
  }
  if (was.name !== is.name) return { name, pointer: '', was: was.name, is: is.name }
  if (was.data === is.data) return null
  const [then, now] = [parseJson(was.data), parseJson(is.data)]
  const place = then === undefined || now === undefined ? null : firstPlace(then, now, '')
  if (place === null) return { name, pointer: '', was: was.data, is: is.data }
  return { name, ...place }
}

type Place = Pick<Difference, 'pointer' | 'was' | 'is'>

const MAX_DEPTH = 64

function firstPlace(was: unknown, is: unknown, pointer: string, depth = 0): Place | null {
  const isPair = isContainer(was) && isContainer(is) && Array.isArray(was) === Array.isArray(is)
  if (!isPair || depth >= MAX_DEPTH) {
    const [then, now] = [textOf(was), textOf(is)]
    return then === now ? null : { pointer, was: then, is: now }
  }
  for (const key of new Set([...Object.keys(was), ...Object.keys(is)])) {
    const below = `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`
    const found = firstPlace(valueOf(was, key), valueOf(is, key), below, depth + 1)
    if (found !== null) return found
  }
  return null
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function valueOf(container: object, key: string): unknown {
  return Object.hasOwn(container, key) ? Reflect.get(container, key) : undefined
}

function textOf(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value)
}

function toEvent({ name, head, text, tail }: Piece): AnswerEvent {
  return { name, data: head + text + tail }
}

function masked(answer: Buffer): string {
  const masker = new SecretMasker(() => [])
  return Buffer.concat([masker.push(answer), masker.end()]).toString()
}

/** Ids of this gateway, and of conversations. */
const ID =
  /\bweb_search_tooluse_\w+|\b(?:msg|chatcmpl|resp|rs|fc|ctc|ws|ig|call|toolu|srvtoolu|req|sess)[_-][A-Za-z0-9]{16,}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g
const TIME = /"(created|created_at|completed_at)":\d+(?:\.\d+)?/g
const COUNT =
  /"((?:input|prompt|output|completion|reasoning|total|cached|cache_read_input|cache_creation_input)_tokens)":\d+/g

/** Members that say what this gateway has learnt, which another one has not. */
const LEARNT =
  /"(?:hidden_tokens|tokens_within)":[\d.]+,|,"(?:hidden_tokens|tokens_within)":[\d.]+/g

/** Replaces ids by order of appearance, times, and learnt counts. */
class Normalizer {
  /** Bounded by the ids of one answer. */
  readonly #ids = new Map<string, string>()

  text(text: string): string {
    return text
      .replace(ID, (id) => {
        const known = this.#ids.get(id) ?? `‹id ${this.#ids.size + 1}›`
        this.#ids.set(id, known)
        return known
      })
      .replace(TIME, '"$1":0')
      .replaceAll(LEARNT, '')
      .replaceAll(COUNT, '"$1":0')
  }
}
