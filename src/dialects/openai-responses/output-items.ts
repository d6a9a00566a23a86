import {
  type AnswerRoom,
  heapBytesOf,
  glue,
  OutputText,
  toBytes,
  toText,
  type Written
} from '../answer/output-text.ts'
import type { SearchPart } from '../answer/stream-part.ts'
import type { ToolForm } from './declared-tools.ts'
import type { JsonObject } from '../../shared/json.ts'

/** A client's wishes about its answer that only this API has. */
export interface ResponsesWishes {
  /** Forms of the tools on offer, by the client's full name, except plain functions. */
  readonly toolForms: Readonly<Record<string, ToolForm>>
  /** JSON text of an object: members of the request that the answer repeats. */
  readonly echo: string
  /** The answer's text is a summary that will stand for the conversation. */
  readonly isCompaction: boolean
}

type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

export type ItemKind =
  | 'message'
  | 'reasoning'
  | 'function_call'
  | 'custom_tool_call'
  | 'tool_search_call'
  | 'compaction'

/** One item of an answer's output while it is being written. */
export interface OutputItem {
  readonly kind: ItemKind
  readonly id: string
  /** Its place in the output. */
  readonly index: number
  /** JSON text of the members that never change, `id` and `type` first. */
  readonly head: string
  /** Members of a call that follow its status, as JSON text; `''` for the others. */
  readonly callMembers: string
  /** JSON text of the name of what is called; `''` for the others. */
  readonly calledName: string
  /** Words, summary, arguments or input, so far; plain where the item does not have them as a string. */
  readonly text: OutputText
  /** Reasoning in a form that only the upstream can read. */
  opaque: string | null
}

/** Prefixes of the ids of items. */
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

/** Their text is an object, or sealed. */
const PLAIN_KINDS: ReadonlySet<ItemKind> = new Set(['tool_search_call', 'compaction'])
/** Most bytes of an item beside its texts. */
const ITEM_BYTES = 2048

/** Makes the items of one answer: each gets the next place, and an id that tells its answer and its place. */
export class ItemMaker {
  readonly #responseId: string
  readonly #forms: ResponsesWishes['toolForms']
  readonly #room: AnswerRoom
  #count = 0
  /** Kind of item for the model's words. */
  readonly textKind: 'message' | 'compaction'

  constructor(responseId: string, wishes: ResponsesWishes, room: AnswerRoom) {
    this.#room = room
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
    return { kind, id, index, head, callMembers, calledName, text, opaque: null }
  }

  /** A call as its tool was declared; `fullName` is the client's. */
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

  /** A finished web search: `begun` is its JSON text before anything was found. */
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

/**
 * The item as JSON text, empty while it is in progress. `text` is what `item.text` has written, passed so that a long
 * one is written once.
 */
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
      // An object, unless it broke off.
      const broken = status === 'incomplete' ? JSON.stringify(toText(text)) : null
      const json = status === 'in_progress' ? '{}' : (broken ?? text)
      return glue(`${called},"arguments":`, json, '}')
    }
    case 'compaction': {
      // It has no status, and half a summary must not stand for the whole conversation.
      const sealed = status === 'completed' ? sealSummary(toBytes(text)) : ''
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

/** Hexadecimal digits that a response's id shares with the ids of its items; the last four of an item's count. */
const KEY_DIGITS = 28
const RESPONSE_PREFIX = 'resp_'
const KNOWN_ID = new RegExp(
  `^(?:resp|${Object.values(PREFIXES).join('|')})_([0-9a-f]{28})[0-9a-f]{4}$`
)

/** The id of a response, made of 32 hexadecimal digits. */
export function toResponseId(hex: string): string {
  return RESPONSE_PREFIX + hex
}

/** The id of the item at `index` of a response's output: another one for each, and from each its response is known. */
export function toItemId(prefix: ItemPrefix, responseId: string, index: number): string {
  const key = responseId.slice(RESPONSE_PREFIX.length, RESPONSE_PREFIX.length + KEY_DIGITS)
  return `${prefix}_${key}${index.toString(16).padStart(4, '0')}`
}

/**
 * Returns the part that the id of a response shares with those of its items: 28 hexadecimal digits and nothing else, so that
 * it may name a file. `null` for every other text.
 */
export function responseKeyOf(id: string): string | null {
  return KNOWN_ID.exec(id)?.[1] ?? null
}

/**
 * The item by which a client asks for a compaction: the answer is one `compaction` item that stands for all items
 * before. Codex sends it where it takes its provider for OpenAI (`openai_base_url`) and ends the session without one.
 */
export const COMPACTION_TRIGGER = 'compaction_trigger'

/** Prompt for a summary; the vendor does not publish its own. */
export const COMPACTION_REQUEST =
  'The conversation up to here will be replaced by a summary of it that you write now, for the assistant that goes on ' +
  'with the work. It must have everything that is needed for that: what the user wants, with all instructions and ' +
  'preferences that still hold; what was decided, and why; what was done, with the names of files, commands and results ' +
  'that matter; what is left to do, and the next step. Answer with the summary alone.'

const SUMMARY_HEADING = '[Summary of the conversation so far]'
const UNREADABLE =
  '[A part of the conversation stood here in a form that only the service which compacted it can read.]'

/** Prefix of a sealed summary of this gateway. It needs no secret, since the client has seen all that is in it. */
const SEAL = 'kiro-gateway.'

/** A summary as clients keep it: a word that means nothing to them. */
export function sealSummary(summary: string | Uint8Array): string {
  return SEAL + Buffer.from(summary).toString('base64')
}

/** Reads the text of a `compaction` item for the model; `isRead` unless another service has made it. */
export function readCompaction({ encrypted_content: content }: JsonObject): {
  readonly text: string
  readonly isRead: boolean
} {
  if (typeof content !== 'string' || !content.startsWith(SEAL)) {
    return { text: UNREADABLE, isRead: false }
  }
  const summary = Buffer.from(content.slice(SEAL.length), 'base64').toString()
  return { text: `${SUMMARY_HEADING}\n${summary}`, isRead: true }
}
