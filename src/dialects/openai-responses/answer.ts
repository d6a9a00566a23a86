import { sealReasoning } from '../../kiro/conversation/signed-reasoning.ts'
import type { ReasoningContent } from '../../kiro/wire/payload.ts'
import { GatewayError } from '../../shared/errors.ts'
import {
  type AnswerBlock,
  AnswerWriter,
  type BlockKind,
  type KeptItems,
  type WriterOptions,
  glue,
  type Written
} from '../answer/answer-writer.ts'
import type { EndPart, SearchPart } from '../answer/stream-part.ts'
import { EventWriter, ItemEvents, Output, toEventHead, toSearchEvents } from './item-events.ts'
import { toStoredResponse } from './stored-response.ts'
import { isCompaction, ItemMaker, type OutputItem, type ResponsesWishes } from './output-items.ts'
import {
  IncompleteReasons,
  ResponseObject,
  type ResponseState,
  toResponseError
} from './response-object.ts'

const Heads = {
  created: toEventHead('response.created'),
  in_progress: toEventHead('response.in_progress'),
  completed: toEventHead('response.completed'),
  incomplete: toEventHead('response.incomplete'),
  failed: toEventHead('response.failed')
} as const satisfies Record<ResponseState['status'] | 'created', unknown>

/**
 * Writes the events of a response, or one object with the same items. `response.completed` ends only a
 * whole answer. An item that broke off never gets its `done`, since agents run a call on that whatever its
 * status; the last event lists it as incomplete.
 */
export class ResponseWriter extends AnswerWriter<ResponsesWishes> {
  readonly #response: ResponseObject
  readonly #items: ItemMaker
  readonly #events: EventWriter
  readonly #output = new Output()
  #end: ResponseState = { status: 'in_progress' }

  constructor(options: WriterOptions<ResponsesWishes>) {
    super(options)
    const { asked } = this.plan
    this.#response = new ResponseObject(asked, this.identity)
    this.#items = new ItemMaker(this.identity.id, asked.own, options)
    this.#events = new EventWriter(asked.isStream)
  }

  override get keptItems(): KeptItems {
    return this.#output.kept
  }

  override get keptResponse(): Written {
    return toStoredResponse(this.#response.toJsonAlone(this.#end), this.#output.references)
  }

  protected override start(): Written {
    const members = glue(',"response":', this.#response.toJson(this.#end, []))
    return glue(
      this.#events.write(Heads.created, members),
      this.#events.write(Heads.in_progress, members)
    )
  }

  protected override open(kind: 'text' | 'reasoning'): AnswerBlock {
    return this.#block(kind, this.#items.make(kind === 'text' ? this.#items.textKind : kind))
  }

  protected override openCall(id: string, name: string): AnswerBlock {
    return this.#block('call', this.#items.makeCall(id, name))
  }

  protected override redacted(content: ReasoningContent): Written {
    const { asked, upstreamModel } = this.plan
    if (asked.isSealed !== true) return ''
    const block = this.#block('reasoning', this.#items.make('reasoning'))
    const sealed = block.seal(sealReasoning(upstreamModel, content))
    return glue(block.begin(), sealed, block.end('whole'))
  }

  protected override search(part: SearchPart): Written {
    const item = this.#items.makeSearch(part)
    this.#output.keep(item.id, item.json)
    return toSearchEvents(item, this.#events)
  }

  /** @throws {GatewayError} GW_ANSWER_INVALID for half a summary, or none: it must not replace the conversation */
  protected override writeEnd(
    { reason, usage }: EndPart,
    last: AnswerBlock | null,
    isCut: boolean
  ): Written {
    const incomplete = IncompleteReasons[reason] ?? (isCut ? 'max_output_tokens' : null)
    if (this.plan.asked.own.isCompaction && (incomplete !== null || !this.#hasSummary(last))) {
      const message = 'The model gave no whole summary of the conversation. Send it again.'
      throw new GatewayError('GW_ANSWER_INVALID', incomplete ?? 'empty', { message })
    }
    const state: ResponseState =
      incomplete === null
        ? { status: 'completed', usage }
        : { status: 'incomplete', usage, reason: incomplete }
    const before = last instanceof ItemEvents ? last.finish(state.status) : ''
    return glue(before, this.#conclude(state))
  }

  protected override writeFailure(
    error: GatewayError,
    last: AnswerBlock | null,
    start: () => Written
  ): Written {
    const before = start()
    last?.end('cut')
    return glue(before, this.#conclude({ status: 'failed', error: toResponseError(error) }))
  }

  protected override writeWhole(): Written {
    if (this.plan.asked.own.isCompactCall && this.#end.status === 'completed')
      return this.#response.toCompaction(this.#end.usage, this.#output.items)
    return this.#response.toJson(this.#end, this.#output.items)
  }

  #hasSummary(last: AnswerBlock | null): boolean {
    return last?.kind === 'text' || isCompaction(this.#output.kept.keys())
  }

  #block(kind: BlockKind, item: OutputItem): ItemEvents {
    return new ItemEvents(kind, item, {
      events: this.#events,
      output: this.#output,
      room: this.room,
      sealedFor: this.plan.asked.isSealed === true ? this.plan.upstreamModel : null
    })
  }

  #conclude(state: Exclude<ResponseState, { status: 'in_progress' }>): Written {
    this.#end = state
    if (this.#events.isSilent) return ''
    const response = this.#response.toJson(state, this.#output.items)
    return this.#events.write(Heads[state.status], glue(',"response":', response))
  }
}
