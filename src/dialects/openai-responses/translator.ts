import type { AnswerIdentity } from '../answer-identity.ts'
import { toTellable } from '../error-format.ts'
import type { ReplyPlan } from '../reply-plan.ts'
import { SseComment } from '../sse.ts'
import type { StreamPart, Translator } from '../stream-part.ts'
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
  readonly #output: string[] = []
  readonly #kept = new Map<string, string>()
  #state: 'new' | 'open' | 'ended' = 'new'
  #item: ItemEvents | null = null
  #rawInput: RawInput | null = null
  #isCut = false

  constructor(plan: ReplyPlan, identity: AnswerIdentity) {
    this.#response = new ResponseObject(plan, identity)
    this.#items = new ItemMaker(identity.id, plan)
  }

  get keptItems(): ReadonlyMap<string, string> {
    return this.#kept
  }

  push(part: StreamPart): string {
    switch (part.type) {
      case 'text':
        return this.#add(this.#items.textKind, part.text)
      case 'reasoning':
        return this.#add('reasoning', part.text)
      case 'signature':
        return this.#sign(part.signature)
      case 'redacted':
        return this.#close() + this.#sign(part.content)
      case 'tool-start': {
        const before = this.#start() + this.#close()
        return before + this.#open(this.#items.makeCall(part.id, part.name))
      }
      case 'tool-delta':
        return this.#item?.add(this.#rawInput?.push(part.json) ?? part.json) ?? ''
      case 'tool-end':
        return part.isCut === true ? this.#cut() : this.#endCall()
      case 'search': {
        const item = this.#items.makeSearch(part)
        const before = this.#start() + this.#close()
        this.#finish(item.id, item.json)
        return before + toSearchEvents(item, this.#events)
      }
      case 'end':
        return this.#end(part)
    }
    return ''
  }

  fail(error: Error): string {
    const before = this.#start()
    this.#cut()
    return before + this.#conclude({ status: 'failed', error: toResponseError(toTellable(error)) })
  }

  heartbeat(): string {
    return this.#state === 'ended' ? '' : SseComment
  }

  #add(kind: ItemKind, text: string): string {
    if (text === '') return ''
    if (this.#item?.item.kind === kind) return this.#item.add(text)
    const before = this.#start() + this.#close() + this.#open(this.#items.make(kind))
    return before + (this.#item?.add(text) ?? '')
  }

  /** What only the upstream can read is the last thing in its item; without words before it the item is just that. */
  #sign(opaque: string): string {
    const isOpen = this.#item?.item.kind === 'reasoning'
    const before = isOpen
      ? ''
      : this.#start() + this.#close() + this.#open(this.#items.make('reasoning'))
    if (this.#item !== null) this.#item.item.opaque = opaque
    return before + this.#close()
  }

  #open(item: OutputItem): string {
    this.#item = new ItemEvents(item, this.#events)
    this.#rawInput = item.kind === 'custom_tool_call' ? new RawInput() : null
    return this.#item.begin()
  }

  #endCall(): string {
    const rest = this.#rawInput?.end() ?? ''
    return (this.#item?.add(rest) ?? '') + this.#close()
  }

  #close(status: 'completed' | 'incomplete' = 'completed'): string {
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
    this.#output.push(toItemJson(item, 'incomplete', JSON.stringify(item.text)))
    this.#item = null
    this.#isCut = true
    return ''
  }

  #finish(id: string, json: string): void {
    this.#output.push(json)
    this.#kept.set(id, json)
  }

  #end({ reason, usage }: EndPart): string {
    const incomplete = IncompleteReasons[reason] ?? (this.#isCut ? 'max_output_tokens' : null)
    const before = this.#start() + this.#close(incomplete === null ? 'completed' : 'incomplete')
    const state: ResponseState =
      incomplete === null
        ? { status: 'completed', usage }
        : { status: 'incomplete', usage, reason: incomplete }
    return before + this.#conclude(state)
  }

  #start(): string {
    if (this.#state !== 'new') return ''
    this.#state = 'open'
    const members = `,"response":${this.#response.toJson({ status: 'in_progress' }, [])}`
    return (
      this.#events.write(Heads.created, members) + this.#events.write(Heads.in_progress, members)
    )
  }

  #conclude(state: ResponseState): string {
    this.#state = 'ended'
    const response = this.#response.toJson(state, this.#output)
    return this.#events.write(Heads[state.status], `,"response":${response}`)
  }
}
