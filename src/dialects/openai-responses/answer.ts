import type { AnswerIdentity } from '../answer-identity.ts'
import { type AnswerRoom, ENDLESS_ROOM, heapBytesOf } from '../answer-room.ts'
import type { Written } from '../output-text.ts'
import type { ReplyPlan } from '../reply-plan.ts'
import type { Collector, KeptItems, StreamPart } from '../stream-part.ts'
import { IncompleteReasons } from './incomplete-reason.ts'
import { type ItemKind, ItemMaker, type OutputItem, toItemJson } from './output-items.ts'
import { RawInput } from './raw-input.ts'
import { ResponseObject } from './response-object.ts'

/** Collects one answer into a response (kiro-protocol §10.3.2), whose items are those of the stream. */
export class ResponsesAnswer implements Collector {
  readonly #response: ResponseObject
  readonly #items: ItemMaker
  readonly #room: AnswerRoom
  readonly #output: Written[] = []
  readonly #kept = new Map<string, Written>()
  #item: OutputItem | null = null
  #rawInput: RawInput | null = null
  #isCut = false
  #end: Extract<StreamPart, { type: 'end' }> | null = null

  constructor(plan: ReplyPlan, identity: AnswerIdentity, room: AnswerRoom = ENDLESS_ROOM) {
    this.#room = room
    this.#response = new ResponseObject(plan, identity)
    this.#items = new ItemMaker(identity.id, plan, room)
  }

  get keptItems(): KeptItems {
    return this.#kept
  }

  push(part: StreamPart): void {
    switch (part.type) {
      case 'text':
        if (part.text !== '') this.#enter(this.#items.textKind).text.add(part.text)
        break
      case 'reasoning':
        if (part.text !== '') this.#enter('reasoning').text.add(part.text)
        break
      case 'signature':
        this.#sign(part.signature)
        break
      case 'redacted':
        this.#close('completed')
        this.#sign(part.content)
        break
      case 'tool-start':
        this.#open(this.#items.makeCall(part.id, part.name))
        break
      case 'tool-delta':
        this.#item?.text.add(this.#rawInput?.push(part.json) ?? part.json)
        break
      case 'tool-end':
        this.#endCall(part.isCut === true)
        break
      case 'search': {
        this.#close('completed')
        const { id, json } = this.#items.makeSearch(part)
        this.#output.push(json)
        this.#kept.set(id, json)
        break
      }
      case 'end':
        this.#close(this.#incompleteReason(part) === null ? 'completed' : 'incomplete')
        this.#end = part
        break
    }
  }

  toJson(): Written {
    if (this.#end === null) throw new Error('The answer has not ended')
    const { usage } = this.#end
    const reason = this.#incompleteReason(this.#end)
    return this.#response.toJson(
      reason === null ? { status: 'completed', usage } : { status: 'incomplete', usage, reason },
      this.#output
    )
  }

  #incompleteReason({ reason }: Extract<StreamPart, { type: 'end' }>) {
    return IncompleteReasons[reason] ?? (this.#isCut ? 'max_output_tokens' : null)
  }

  #enter(kind: ItemKind): OutputItem {
    return this.#item?.kind === kind ? this.#item : this.#open(this.#items.make(kind))
  }

  #open(item: OutputItem): OutputItem {
    this.#close('completed')
    this.#item = item
    this.#rawInput = item.kind === 'custom_tool_call' ? new RawInput(this.#room) : null
    return item
  }

  #sign(opaque: string): void {
    this.#room.hold(heapBytesOf(opaque))
    this.#enter('reasoning').opaque = opaque
    this.#close('completed')
  }

  #endCall(isCut: boolean): void {
    if (isCut) this.#isCut = true
    else this.#item?.text.add(this.#rawInput?.end() ?? '')
    this.#close(isCut ? 'incomplete' : 'completed')
  }

  #close(status: 'completed' | 'incomplete'): void {
    const item = this.#item
    if (item === null) return
    const json = toItemJson(item, status, item.text.written())
    this.#output.push(json)
    // A call that broke off must not come back as one.
    if (status === 'completed' || item.callMembers === '') this.#kept.set(item.id, json)
    this.#item = null
  }
}
