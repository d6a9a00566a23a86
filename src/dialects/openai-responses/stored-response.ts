import { setImmediate } from 'node:timers/promises'
import { parseJson, parseJsonObject, type JsonObject } from '../../shared/json.ts'
import { glue, glueWith, type Written } from '../answer/answer-writer.ts'
import { invalidPart } from '../plan/json-body.ts'
import {
  elementsInTurns,
  elementsOf,
  membersOf,
  OPEN_BRACKET,
  QUOTE,
  type JsonSpan,
  skipSpace,
  spanText
} from './json-spans.ts'
import { inputIndexOf, toInputItemId } from './output-items.ts'

/*
 * A stored response is two files, whose texts are objects by id:
 *
 *   answer   {"msg_…":{…}, … , "resp_…":{"response":{…},"output":["msg_…", …]}}
 *   input    {"resp_….input":{"before":["resp_…", …],"items":[…]}}
 *
 * `before`: the responses that it went on from, the oldest first. `null`: one of them was not stored.
 */

/** Responses of one conversation; as many turns fit no model. */
export const MAX_BEFORE = 1024
/** Items of one answer, or of one request. */
const MAX_ITEMS = 32_768
const INPUT = '.input'

/** Names the input of a response among what is stored. */
export function inputIdOf(responseId: string): string {
  return responseId + INPUT
}

/** `null` for the id of anything else. */
export function responseIdOfInput(id: string): string | null {
  return id.endsWith(INPUT) ? id.slice(0, -INPUT.length) : null
}

/** JSON text of the response's entry. `output`: JSON text of items that are stored by an id, or not at all. */
export function toStoredResponse(response: Written, output: readonly Written[]): Written {
  return glue('{"response":', response, ',"output":[', glueWith(',', output), ']}')
}

/** Copies the input of a request; `null` for a request without one. */
export function toStoredInput(body: Uint8Array, before: readonly string[] | null): Buffer | null {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const input = membersOf(bytes)?.get('input')
  if (input === undefined) return null
  const head = Buffer.from(`{"before":${JSON.stringify(before)},"items":[`)
  return Buffer.concat([head, innerItems(bytes, input), Buffer.from(']}')])
}

/** Copies an input's items without brackets. A text is a message of the user; anything that is not an input stays. */
export function innerItems(bytes: Buffer, { from, to }: JsonSpan): Buffer {
  const value = bytes.subarray(from, to)
  if (value[0] === QUOTE) {
    return Buffer.concat([Buffer.from('{"role":"user","content":'), value, Buffer.from('}')])
  }
  const isList = value[0] === OPEN_BRACKET
  return Buffer.from(isList ? trimmed(value.subarray(1, -1)) : value)
}

function trimmed(bytes: Buffer): Buffer {
  return bytes.subarray(skipSpace(bytes, 0))
}

/** Bytes at the beginning of an input's file that hold all of `before`. */
export const BEFORE_BYTES = 64 * 1024
const BEFORE = /^\{"resp_[0-9a-f]{32}\.input":\{"before":(?<before>\[[^\]]*\]|null),/

/** Reads the beginning of an input's file. `null` if the conversation cannot be gone on with. */
export function readBefore(beginning: string): readonly string[] | null {
  const before = parseJson(BEFORE.exec(beginning)?.groups?.['before'] ?? 'null')
  return Array.isArray(before) ? before.filter((id) => typeof id === 'string') : null
}

/** Joins the JSON text of a response from its file; `null` if the file has none. */
export function toResponseJson(responseId: string, file: Uint8Array): string | null {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  const items = membersOf(bytes, MAX_ITEMS)
  const entry = items === null ? null : partOf(bytes, items, responseId)
  const members = entry === null ? null : membersOf(entry)
  if (items === null || entry === null || members === null) return null
  const response = partOf(entry, members, 'response')?.toString()
  const output = partOf(entry, members, 'output')
  const spans = output === null ? null : elementsOf(output, MAX_ITEMS)
  if (response === undefined || output === null || spans === null) return null
  const texts = spans.map((one) => {
    const json = spanText(output, one)
    const id = json.startsWith('"') ? String(parseJson(json)) : null
    const span = id === null ? undefined : items.get(id)
    return span === undefined ? json : spanText(bytes, span)
  })
  return `${response.slice(0, -1)},"output":[${texts.join(',')}]}`
}

function partOf(
  bytes: Buffer,
  members: ReadonlyMap<string, JsonSpan>,
  name: string
): Buffer | null {
  const span = members.get(name)
  return span === undefined ? null : bytes.subarray(span.from, span.to)
}

export interface InputPage {
  readonly after: string | null
  readonly limit: number
  readonly order: 'asc' | 'desc'
}

const MAX_LIMIT = 100
const DEFAULT_LIMIT = 20

/** @throws {GatewayError} GW_BODY_INVALID */
export function readInputPage(query: URLSearchParams): InputPage {
  const order = query.get('order') ?? 'desc'
  if (order !== 'asc' && order !== 'desc') throw invalidPart('order', 'must be asc or desc')
  const limit = Number(query.get('limit') ?? DEFAULT_LIMIT)
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw invalidPart('limit', `must be a number from 1 to ${MAX_LIMIT}`)
  }
  return { after: query.get('after'), limit, order }
}

/**
 * Lists a page of a response's own input items, which may be tens of thousands: with a turn of the event loop for others
 * after each few. `null` if the file has none.
 * @throws {GatewayError} GW_BODY_INVALID for an unknown `after`
 */
export async function listInputItems(
  responseId: string,
  file: Uint8Array,
  { after, limit, order }: InputPage
): Promise<object | null> {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  const list = itemsIn(bytes)
  const spans = list === null ? null : await elementsInTurns(list, MAX_ITEMS)
  if (list === null || spans === null) return null
  const indexes = spans.map((_span, index) => index)
  if (order === 'desc') indexes.reverse()
  const textAt = (index: number): string => spanText(list, spans[index] ?? { from: 0, to: 0 })
  const itemAt = (index: number): JsonObject => toListedItem(responseId, textAt(index), index)
  const madeIndex = after === null ? -1 : inputIndexOf(after)
  const isAfter = (index: number): boolean =>
    (index === madeIndex || mayHave(textAt(index), after ?? '')) && itemAt(index)['id'] === after
  // The last of its id: where a client has used one twice, its pages must end.
  const at = after === null ? -1 : await findLastInTurns(indexes, isAfter)
  if (after !== null && at === -1)
    throw invalidPart('after', 'must be the id of an item of this response')
  const data = indexes.slice(at + 1, at + 1 + limit).map(itemAt)
  return {
    object: 'list',
    data,
    first_id: data[0]?.['id'] ?? null,
    last_id: data.at(-1)?.['id'] ?? null,
    has_more: at + 1 + limit < spans.length
  }
}

/** The list in an input's file, which `toStoredInput()` wrote. */
function itemsIn(bytes: Buffer): Buffer | null {
  const [begun = null] = BEFORE.exec(bytes.toString('latin1', 0, BEFORE_BYTES)) ?? []
  const at = begun === null ? -1 : bytes.indexOf(OPEN_BRACKET, begun.length)
  return at === -1 ? null : bytes.subarray(at, -ENDS.length)
}

/** Close the response's entry and the file. */
const ENDS = '}}'
/** Items between two turns of the event loop: a millisecond or two. */
const FEW_ITEMS = 500

async function findLastInTurns(
  indexes: readonly number[],
  isMeant: (index: number) => boolean
): Promise<number> {
  for (let to = indexes.length; to > 0; to -= FEW_ITEMS) {
    const from = Math.max(0, to - FEW_ITEMS)
    const at = indexes.slice(from, to).findLastIndex(isMeant)
    if (at !== -1) return from + at
    await setImmediate()
  }
  return -1
}

/** False for JSON text that cannot have the word in it: tens of thousands of items take long to parse. */
function mayHave(json: string, word: string): boolean {
  return json.includes(word) || json.includes('\\')
}

/** Adds what clients may leave out and SDKs expect: id, type, and a message's parts and status. */
function toListedItem(responseId: string, json: string, index: number): JsonObject {
  const text = parseJson(json)
  const sent = typeof text === 'string' ? { role: 'user', content: text } : parseJsonObject(json)
  const { type: sentType, id: sentId, ...rest } = sent ?? {}
  const type = typeof sentType === 'string' ? sentType : 'message'
  const id = typeof sentId === 'string' ? sentId : toInputItemId(type, responseId, index)
  if (type !== 'message') return { id, type, ...rest }
  const { role, content } = rest
  const part = role === 'assistant' ? 'output_text' : 'input_text'
  const parts = typeof content === 'string' ? [{ type: part, text: content }] : content
  return { id, type, status: 'completed', ...rest, content: parts ?? [] }
}
