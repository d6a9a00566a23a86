import type { AnswerIdentity } from '../answer-identity.ts'
import { toTellable } from '../error-format.ts'
import { type AnswerRoom, ENDLESS_ROOM, heapBytesOf } from '../answer-room.ts'
import { glue, type Written } from '../output-text.ts'
import type { ReplyPlan } from '../reply-plan.ts'
import { SseComment } from '../sse.ts'
import type { KeptItems, StreamPart, Translator } from '../stream-part.ts'
import { toResponseError } from './error-format.ts'
import { EventWriter, toEventHead } from './event-writer.ts'
import { IncompleteReasons } from './incomplete-reason.ts'
import { ItemEvents, toSearchEvents } from './item-events.ts'
import { type ItemKind, ItemMaker, type OutputItem, toItemJson } from './output-items.ts'
import { RawInput } from './raw-input.ts'
import { ResponseObject, type ResponseState } from './response-object.ts'

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

  constructor(plan: ReplyPlan, identity: AnswerIdentity, room: AnswerRoom = ENDLESS_ROOM) {
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
