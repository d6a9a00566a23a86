import { type AnswerRoom, ENDLESS_ROOM, heapBytesOf } from '../answer/long-text.ts'
import { glue, type Written } from '../answer/output-text.ts'
import { SseComment, toTellable } from '../answer/sse.ts'
import type { AnswerIdentity, KeptItems, StreamPart, Translator } from '../answer/stream-part.ts'
import {
  type ItemKind,
  ItemMaker,
  type OutputItem,
  type ResponsesPlan,
  type SearchItem,
  toBegunItem,
  toItemJson,
  toSummaryPart,
  toTextPart
} from './output-items.ts'
import { RawInput } from './raw-input.ts'
import {
  IncompleteReasons,
  ResponseObject,
  type ResponseState,
  toResponseError
} from './response-object.ts'

type EndPart = Extract<StreamPart, { type: 'end' }>

const Heads = {
  created: toEventHead('response.created'),
  in_progress: toEventHead('response.in_progress'),
  completed: toEventHead('response.completed'),
  incomplete: toEventHead('response.incomplete'),
  failed: toEventHead('response.failed')
} as const satisfies Record<ResponseState['status'] | 'created', unknown>

/**
 * Writes one answer as the events of a response (kiro-protocol §10.3.3). At most one item is open, every text
 * is glued from texts made once per item, and the last event is `response.completed` only for a whole answer.
 *
 * ```
 *   new ──first part──▶ open { [item added · deltas · done]* } ──end──▶ ended
 * ```
 *
 * An item that broke off is announced and never done: agents run a call as soon as its `done` is there, whatever
 * status that tells. It stands in the output of the last event, as incomplete.
 */
export class ResponsesTranslator implements Translator {
  readonly #response: ResponseObject
  readonly #items: ItemMaker
  readonly #events = new EventWriter()
  readonly #room: AnswerRoom
  readonly #output: Written[] = []
  readonly #kept = new Map<string, Written>()
  #state: 'new' | 'open' | 'ended' = 'new'
  #item: ItemEvents | null = null
  #rawInput: RawInput | null = null
  #isCut = false

  constructor(plan: ResponsesPlan, identity: AnswerIdentity, room: AnswerRoom = ENDLESS_ROOM) {
    this.#room = room
    this.#response = new ResponseObject(plan, identity)
    this.#items = new ItemMaker(identity.id, plan, room)
  }

  get keptItems(): KeptItems {
    return this.#kept
  }

  push(part: StreamPart): Written {
    switch (part.type) {
      case 'text':
        return this.#add(this.#items.textKind, part.text)
      case 'reasoning':
        return this.#add('reasoning', part.text)
      case 'signature':
        return this.#sign(part.signature)
      case 'redacted':
        return glue(this.#close(), this.#sign(part.content))
      case 'tool-start': {
        const before = glue(this.#start(), this.#close())
        return glue(before, this.#open(this.#items.makeCall(part.id, part.name)))
      }
      case 'tool-delta':
        return this.#item?.add(this.#rawInput?.push(part.json) ?? part.json) ?? ''
      case 'tool-end':
        return part.isCut === true ? this.#cut() : this.#endCall()
      case 'search': {
        const item = this.#items.makeSearch(part)
        const before = glue(this.#start(), this.#close())
        this.#finish(item.id, item.json)
        return glue(before, toSearchEvents(item, this.#events))
      }
      case 'end':
        return this.#end(part)
    }
    return ''
  }

  fail(error: Error): Written {
    const before = this.#start()
    this.#cut()
    const failed = { status: 'failed', error: toResponseError(toTellable(error)) } as const
    return glue(before, this.#conclude(failed))
  }

  heartbeat(): string {
    return this.#state === 'ended' ? '' : SseComment
  }

  #add(kind: ItemKind, text: string): Written {
    if (text === '') return ''
    if (this.#item?.item.kind === kind) return this.#item.add(text)
    const before = glue(this.#start(), this.#close(), this.#open(this.#items.make(kind)))
    return glue(before, this.#item?.add(text) ?? '')
  }

  /** What only the upstream can read is the last thing in its item; without words before it the item is just that. */
  #sign(opaque: string): Written {
    const isOpen = this.#item?.item.kind === 'reasoning'
    const before = isOpen
      ? ''
      : glue(this.#start(), this.#close(), this.#open(this.#items.make('reasoning')))
    if (this.#item !== null && this.#room.hold(heapBytesOf(opaque))) {
      this.#item.item.opaque = opaque
    }
    return glue(before, this.#close())
  }

  #open(item: OutputItem): string {
    this.#item = new ItemEvents(item, this.#events)
    this.#rawInput = item.kind === 'custom_tool_call' ? new RawInput(this.#room) : null
    return this.#item.begin()
  }

  #endCall(): Written {
    const rest = this.#rawInput?.end() ?? ''
    return glue(this.#item?.add(rest) ?? '', this.#close())
  }

  #close(status: 'completed' | 'incomplete' = 'completed'): Written {
    if (this.#item === null) return ''
    const { events, json } = this.#item.end(status)
    this.#finish(this.#item.item.id, json)
    this.#item = null
    return events
  }

  /** Leaves the open item as it is. */
  #cut(): string {
    if (this.#item === null) return ''
    const { item } = this.#item
    this.#output.push(toItemJson(item, 'incomplete', item.text.written()))
    this.#item = null
    this.#isCut = true
    return ''
  }

  #finish(id: string, json: Written): void {
    this.#output.push(json)
    this.#kept.set(id, json)
  }

  #end({ reason, usage }: EndPart): Written {
    const incomplete = IncompleteReasons[reason] ?? (this.#isCut ? 'max_output_tokens' : null)
    const closed = incomplete === null ? 'completed' : 'incomplete'
    const before = glue(this.#start(), this.#close(closed))
    const state: ResponseState =
      incomplete === null
        ? { status: 'completed', usage }
        : { status: 'incomplete', usage, reason: incomplete }
    return glue(before, this.#conclude(state))
  }

  #start(): Written {
    if (this.#state !== 'new') return ''
    this.#state = 'open'
    const members = glue(',"response":', this.#response.toJson({ status: 'in_progress' }, []))
    return glue(
      this.#events.write(Heads.created, members),
      this.#events.write(Heads.in_progress, members)
    )
  }

  #conclude(state: ResponseState): Written {
    this.#state = 'ended'
    const response = this.#response.toJson(state, this.#output)
    return this.#events.write(Heads[state.status], glue(',"response":', response))
  }
}

const Added = toEventHead('response.output_item.added')
const Done = toEventHead('response.output_item.done')
const SearchSteps = [
  toEventHead('response.web_search_call.in_progress'),
  toEventHead('response.web_search_call.searching')
] as const
const SearchCompleted = toEventHead('response.web_search_call.completed')

/** What tells how the text of one kind of item is streamed; `null` where it is not. */
interface TextEvents {
  readonly delta: EventHead
  readonly done: EventHead
  /** The member of `done` that has the whole text. */
  readonly member: string
  /** Members of every such event, and of `delta` and `done` only. */
  readonly place: string
  readonly extra: string
  /** The part that the text stands in. */
  readonly part: PartEvents | null
}

interface PartEvents {
  readonly added: EventHead
  readonly done: EventHead
  readonly toJson: (text: Written) => Written
}

const Streams: Readonly<Record<ItemKind, TextEvents | null>> = {
  message: {
    delta: toEventHead('response.output_text.delta'),
    done: toEventHead('response.output_text.done'),
    member: 'text',
    place: ',"content_index":0',
    extra: ',"logprobs":[]',
    part: {
      added: toEventHead('response.content_part.added'),
      done: toEventHead('response.content_part.done'),
      toJson: toTextPart
    }
  },
  reasoning: {
    delta: toEventHead('response.reasoning_summary_text.delta'),
    done: toEventHead('response.reasoning_summary_text.done'),
    member: 'text',
    place: ',"summary_index":0',
    extra: '',
    part: {
      added: toEventHead('response.reasoning_summary_part.added'),
      done: toEventHead('response.reasoning_summary_part.done'),
      toJson: toSummaryPart
    }
  },
  function_call: toCallEvents('function_call_arguments', 'arguments'),
  custom_tool_call: toCallEvents('custom_tool_call_input', 'input'),
  tool_search_call: null,
  compaction: null
}

function toCallEvents(name: string, member: string): TextEvents {
  return {
    delta: toEventHead(`response.${name}.delta`),
    done: toEventHead(`response.${name}.done`),
    member,
    place: '',
    extra: '',
    part: null
  }
}

/** Writes the events of one item, from its announcement to its end (kiro-protocol §10.3.3). */
export class ItemEvents {
  readonly item: OutputItem
  readonly #events: EventWriter
  readonly #stream: TextEvents | null
  /** What every event about the item says. */
  readonly #place: string
  /** A delta up to its text; made once per item (hot path). */
  readonly #deltaPlace: string
  readonly #deltaEnd: string
  #hasPart = false

  constructor(item: OutputItem, events: EventWriter) {
    this.item = item
    this.#events = events
    this.#stream = Streams[item.kind]
    const place = this.#stream?.place ?? ''
    this.#place = `,"item_id":"${item.id}","output_index":${item.index}${place}`
    this.#deltaPlace = `${this.#place},"delta":`
    this.#deltaEnd = this.#stream?.extra ?? ''
  }

  begin(): string {
    const { index } = this.item
    return this.#events.write(Added, `,"output_index":${index},"item":${toBegunItem(this.item)}`)
  }

  /** Nothing is sent that could not be repeated at the end, for want of room. */
  add(text: string): Written {
    const hasRoom = this.item.text.add(text)
    if (this.#stream === null || text === '' || !hasRoom) return ''
    const members = this.#deltaPlace + JSON.stringify(text) + this.#deltaEnd
    if (this.#hasPart) return this.#events.write(this.#stream.delta, members)
    const before = this.#beginPart()
    return glue(before, this.#events.write(this.#stream.delta, members))
  }

  /** `json` is the item as `toItemJson` has it. */
  end(status: 'completed' | 'incomplete'): { readonly events: Written; readonly json: Written } {
    const { item } = this
    const text = item.text.written()
    const json = toItemJson(item, status, text)
    const before = this.#endText(text)
    const done = glue(`,"output_index":${item.index},"item":`, json)
    return { events: glue(before, this.#events.write(Done, done)), json }
  }

  #beginPart(): Written {
    this.#hasPart = true
    const part = this.#stream?.part ?? null
    if (part === null) return ''
    return this.#events.write(part.added, glue(`${this.#place},"part":`, part.toJson('""')))
  }

  #endText(text: Written): Written {
    const stream = this.#stream
    if (stream === null || (stream.part !== null && !this.#hasPart)) return ''
    const { done, member, extra, part } = stream
    const ended = this.#events.write(done, glue(`${this.#place},"${member}":`, text, extra))
    if (part === null) return ended
    const ofPart = glue(`${this.#place},"part":`, part.toJson(text))
    return glue(ended, this.#events.write(part.done, ofPart))
  }
}

/** All events of a web search, which is over when it is told of. */
export function toSearchEvents(item: SearchItem, events: EventWriter): string {
  const { id, index, hasFailed, begun, json } = item
  const place = `,"item_id":"${id}","output_index":${index}`
  return (
    events.write(Added, `,"output_index":${index},"item":${begun}`) +
    SearchSteps.map((step) => events.write(step, place)).join('') +
    (hasFailed ? '' : events.write(SearchCompleted, place)) +
    events.write(Done, `,"output_index":${index},"item":${json}`)
  )
}

/** The beginning of an event, up to its number. */
export type EventHead = `event: ${string}`

export function toEventHead(type: string): EventHead {
  return `event: ${type}\ndata: {"type":"${type}","sequence_number":`
}

/** Writes the events of one stream, numbered from 0 without gaps (kiro-protocol §10.3.3). */
export class EventWriter {
  #count = 0

  /** `members` is JSON text that begins with a comma. */
  write(head: EventHead, members: string): string
  write(head: EventHead, members: Written): Written
  write(head: EventHead, members: Written): Written {
    const beginning = `${head}${this.#count++}`
    if (typeof members === 'string') return `${beginning}${members}}\n\n`
    return glue(beginning, members, '}\n\n')
  }
}
