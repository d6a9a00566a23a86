import { type AnswerRoom, heapBytesOf, OutputText } from '../answer/output-text.ts'
import { glue, toText, type Written } from '../answer/answer-writer.ts'
import type { SearchPart } from '../answer/stream-part.ts'
import type { ToolForm } from '../request/settled-tools.ts'
import type { JsonObject } from '../../shared/json.ts'
import { invalidPart } from '../plan/json-body.ts'
import { openSummary, sealSummary, type SummaryKeys } from '../../shared/sealed-summary.ts'

export interface ResponsesWishes {
  /** Forms of the offered tools by the client's full name, without plain functions. */
  readonly toolForms: Readonly<Record<string, ToolForm>>
  /** Members of the request that the answer repeats, as JSON texts by name. */
  readonly echo: Readonly<Record<string, string>>
  /** The text is a summary that will replace the conversation. */
  readonly isCompaction: boolean
  /** The answer is that of a call to compact. */
  readonly isCompactCall: boolean
}

type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

export type ItemKind =
  | 'message'
  | 'reasoning'
  | 'function_call'
  | 'custom_tool_call'
  | 'tool_search_call'
  | 'compaction'

export interface OutputItem {
  readonly kind: ItemKind
  readonly id: string
  readonly index: number
  readonly head: string
  /** JSON text of a call's members after its status; `''` for other items. */
  readonly callMembers: string
  readonly calledName: string
  /** Words, summary, arguments or input so far; plain where the item does not have it as a string. */
  readonly text: OutputText
  opaque: string | null
  /** `null` for items that are not sealed. */
  readonly summaryKeys: SummaryKeys | null
}

const PREFIXES = {
  message: 'msg',
  reasoning: 'rs',
  function_call: 'fc',
  custom_tool_call: 'ctc',
  tool_search_call: 'tsc',
  web_search_call: 'ws',
  compaction: 'cmp'
} as const satisfies Readonly<Record<ItemKind | 'web_search_call', string>>
type ItemPrefix = (typeof PREFIXES)[keyof typeof PREFIXES]

const CALL_KINDS = {
  function: 'function_call',
  text: 'custom_tool_call',
  search: 'tool_search_call'
} as const

/** Items whose text is an object, or sealed. */
const PLAIN_KINDS: ReadonlySet<ItemKind> = new Set(['tool_search_call', 'compaction'])
const ITEM_BYTES = 2048

export class ItemMaker {
  readonly #responseId: string
  readonly #forms: ResponsesWishes['toolForms']
  readonly #room: AnswerRoom
  readonly #summaryKeys: SummaryKeys | null
  #count = 0
  readonly textKind: 'message' | 'compaction'

  constructor(
    responseId: string,
    wishes: ResponsesWishes,
    {
      room,
      summaryKeys = null
    }: { readonly room: AnswerRoom; readonly summaryKeys?: SummaryKeys | null }
  ) {
    this.#room = room
    this.#summaryKeys = summaryKeys
    this.#responseId = responseId
    this.#forms = wishes.toolForms
    this.textKind = wishes.isCompaction ? 'compaction' : 'message'
  }

  make(kind: ItemKind, callMembers = '', calledName = ''): OutputItem {
    const index = this.#count++
    const id = toItemId(PREFIXES[kind], this.#responseId, index)
    const head = `"id":"${id}","type":"${kind}"`
    this.#room.hold(ITEM_BYTES)
    const text = new OutputText(this.#room, PLAIN_KINDS.has(kind) ? 'plain' : 'json')
    const summaryKeys = kind === 'compaction' ? this.#summaryKeys : null
    return { kind, id, index, head, callMembers, calledName, text, opaque: null, summaryKeys }
  }

  makeCall(callId: string, fullName: string): OutputItem {
    const form = Object.hasOwn(this.#forms, fullName) ? this.#forms[fullName] : undefined
    const kind = CALL_KINDS[form?.kind ?? 'function']
    if (kind === 'tool_search_call') {
      return this.make(kind, `"execution":"client","call_id":${JSON.stringify(callId)}`)
    }
    const name = form?.name ?? fullName
    const members = {
      call_id: callId,
      name,
      ...(form?.namespace !== undefined && { namespace: form.namespace })
    }
    return this.make(kind, JSON.stringify(members).slice(1, -1), JSON.stringify(name))
  }

  /** `begun`: JSON text of the search before it has results. */
  makeSearch({ query, results, problem }: SearchPart) {
    const index = this.#count++
    const id = toItemId('ws', this.#responseId, index)
    const sources = results.map(({ url }) => ({ type: 'url', url }))
    const action = JSON.stringify({ type: 'search', query, queries: [query], sources })
    const status = problem === undefined ? 'completed' : 'failed'
    this.#room.hold(ITEM_BYTES + heapBytesOf(action))
    const head = `{"id":"${id}","type":"web_search_call"`
    return {
      id,
      index,
      hasFailed: problem !== undefined,
      begun: `${head},"status":"in_progress","action":${JSON.stringify({ type: 'search', query })}}`,
      json: `${head},"status":"${status}","action":${action}}`
    }
  }
}

export type SearchItem = ReturnType<ItemMaker['makeSearch']>

/** `text`: what `item.text` has written, passed so that a long one is written once. */
export function toItemJson(item: OutputItem, status: ItemStatus, text: Written): Written {
  const { kind, head, callMembers } = item
  const called = `{${head},"status":"${status}",${callMembers}`
  switch (kind) {
    case 'message': {
      const content = status === 'in_progress' ? '' : toTextPart(text)
      return glue(`{${head},"status":"${status}","role":"assistant","content":[`, content, ']}')
    }
    case 'reasoning': {
      const summary = item.text.isEmpty ? '' : toSummaryPart(text)
      const opaque =
        item.opaque === null ? '' : `,"encrypted_content":${JSON.stringify(item.opaque)}`
      return glue(`{${head},"summary":[`, summary, `]${opaque}}`)
    }
    case 'function_call':
      return glue(`${called},"arguments":`, text, '}')
    case 'custom_tool_call':
      return glue(`${called},"input":`, text, '}')
    case 'tool_search_call': {
      // Arguments are an object, unless they broke off.
      const broken = status === 'incomplete' ? JSON.stringify(toText(text)) : null
      const json = status === 'in_progress' ? '{}' : (broken ?? text)
      return glue(`${called},"arguments":`, json, '}')
    }
    case 'compaction': {
      // It has no status, and is empty until it is whole.
      const isSealed = status === 'completed' && item.summaryKeys !== null
      const sealed = isSealed ? sealSummary(toText(text), item.summaryKeys) : ''
      return `{${head},"encrypted_content":"${sealed}"}`
    }
  }
  return ''
}

export function toTextPart(text: Written): Written {
  return glue('{"type":"output_text","text":', text, ',"annotations":[],"logprobs":[]}')
}

export function toSummaryPart(text: Written): Written {
  return glue('{"type":"summary_text","text":', text, '}')
}

/** Hexadecimal digits that a response's id shares with its items' ids; the last four number the item. */
const KEY_DIGITS = 28
const INDEX_DIGITS = 4
const RESPONSE_PREFIX = 'resp_'
const KNOWN_ID = new RegExp(
  `^(?:resp|${Object.values(PREFIXES).join('|')})_([0-9a-f]{28})[0-9a-f]{4}$`
)

export function toResponseId(hex: string): string {
  return RESPONSE_PREFIX + hex
}

export function isResponseId(id: string): boolean {
  return id.startsWith(RESPONSE_PREFIX) && KNOWN_ID.test(id)
}

/** Makes a unique item id from which its response can be told. */
export function toItemId(prefix: ItemPrefix, responseId: string, index: number): string {
  const key = responseId.slice(RESPONSE_PREFIX.length, RESPONSE_PREFIX.length + KEY_DIGITS)
  return `${prefix}_${key}${index.toString(16).padStart(INDEX_DIGITS, '0')}`
}

/** Input items are numbered from here, so that no output has one of their ids. */
const FIRST_INPUT = 0x8000

/** Makes the id of an input item that came without one. */
export function toInputItemId(type: string, responseId: string, index: number): string {
  const prefix = Object.hasOwn(INPUT_PREFIXES, type) ? INPUT_PREFIXES[type] : undefined
  return toItemId(prefix ?? 'msg', responseId, FIRST_INPUT + index)
}

/** Returns the index of an item whose id `toInputItemId()` made; another number for other texts. */
export function inputIndexOf(id: string): number {
  return Number.parseInt(id.slice(-INDEX_DIGITS), 16) - FIRST_INPUT
}

const INPUT_PREFIXES: Readonly<Record<string, ItemPrefix>> = {
  ...PREFIXES,
  function_call_output: PREFIXES.function_call,
  custom_tool_call_output: PREFIXES.custom_tool_call
}

/** `null` for other texts. The result is 28 hexadecimal digits, safe as a file name. */
export function responseKeyOf(id: string): string | null {
  return KNOWN_ID.exec(id)?.[1] ?? null
}

/**
 * Asks for a compaction, an item that replaces all earlier ones. Codex sends it to providers that it takes
 * for OpenAI (`openai_base_url`), and ends the session without an answer to it.
 */
export const COMPACTION_TRIGGER = 'compaction_trigger'

/** Returns whether an answer of these ids is a compaction, which stands for all that came before it. */
export function isCompaction(ids: Iterable<string>): boolean {
  return [...ids].some((id) => id.startsWith(`${PREFIXES.compaction}_`))
}

/** Prompt for a summary; OpenAI does not publish its own. */
export const COMPACTION_REQUEST =
  'The conversation up to here will be replaced by a summary of it that you write now, for the assistant that goes on ' +
  'with the work. It must have everything that is needed for that: what the user wants, with all instructions and ' +
  'preferences that still hold; what was decided, and why; what was done, with the names of files, commands and results ' +
  'that matter; what is left to do, and the next step. Answer with the summary alone.'

const SUMMARY_HEADING = '[Summary of the conversation so far]'
export const UNREADABLE =
  '[A part of the conversation stood here in a form that only the service which compacted it can read.]'

/** Marked summaries of builds before they were sealed. */
const OLD_SEAL = 'kiro-gateway.'

/**
 * Returns the text of a compaction, for the model. Without keys, what is sealed is unreadable.
 * @throws {GatewayError} GW_BODY_INVALID for what was made elsewhere or for another key, and for what was changed
 */
export function readCompaction(
  { encrypted_content: content }: JsonObject,
  path: string,
  keys: SummaryKeys | undefined
): string {
  if (typeof content === 'string' && content.startsWith(OLD_SEAL)) {
    return withHeading(Buffer.from(content.slice(OLD_SEAL.length), 'base64').toString())
  }
  if (keys === undefined) return UNREADABLE
  const summary = openSummary(content, keys)
  if (summary !== null) return withHeading(summary)
  throw invalidPart(
    `${path}.encrypted_content`,
    'was not made here for this API key, or was changed, so it cannot be read. Send the conversation itself, or begin a new one'
  )
}

function withHeading(summary: string): string {
  return `${SUMMARY_HEADING}\n${summary}`
}
