import type { AnswerIdentity } from '../answer-identity.ts'
import { type AnswerRoom, ENDLESS_ROOM, heapBytesOf } from '../answer-room.ts'
import { glue, glueWith, OutputText, type Written } from '../output-text.ts'
import type { ReplyPlan } from '../reply-plan.ts'
import type { Collector, StreamPart } from '../stream-part.ts'
import { safeguardMembers } from './safeguards.ts'
import { toSearchBlocks } from './search-blocks.ts'
import { StopReasons } from './stop-reason.ts'
import { toAnthropicUsage } from './usage.ts'

type Block =
  | { readonly type: 'text'; readonly text: OutputText }
  | { readonly type: 'thinking'; readonly text: OutputText; signature: string }
  | { readonly type: 'redacted'; readonly content: string }
  | { readonly type: 'tool'; readonly id: string; readonly name: string; readonly json: OutputText }
  | { readonly type: 'search'; readonly json: string }

/** What a block takes beside its texts, at most. */
const BlockBytes = 1024

/** Collects one answer into a message (kiro-protocol §10.4.2). */
export class AnthropicAnswer implements Collector {
  readonly #plan: ReplyPlan
  readonly #identity: AnswerIdentity
  readonly #room: AnswerRoom
  readonly #blocks: Block[] = []
  #searches = 0
  #end: Extract<StreamPart, { type: 'end' }> | null = null

  constructor(plan: ReplyPlan, identity: AnswerIdentity, room: AnswerRoom = ENDLESS_ROOM) {
    this.#plan = plan
    this.#identity = identity
    this.#room = room
  }

  push(part: StreamPart): void {
    switch (part.type) {
      case 'text':
        this.#addText(part.text)
        break
      case 'reasoning':
        this.#thinking().text.add(part.text)
        break
      case 'signature':
        this.#room.hold(heapBytesOf(part.signature))
        this.#thinking().signature = part.signature
        break
      case 'redacted':
        this.#room.hold(heapBytesOf(part.content))
        this.#add(part)
        break
      case 'tool-start':
        this.#add(this.#newCall(part.id, part.name))
        break
      case 'tool-delta':
        this.#addJson(part.json)
        break
      case 'end':
        this.#end = part
        break
      case 'tool-end':
        // Nobody could tell it from a whole one in here.
        if (part.isCut === true) this.#blocks.pop()
        break
      case 'search':
        this.#searches++
        this.#addSearch(toSearchBlocks(part).join(','))
        break
    }
  }

  toJson(): Written {
    if (this.#end === null) throw new Error('The answer has not ended')
    const { reason, stopSequence, usage } = this.#end
    const head = {
      id: this.#identity.id,
      type: 'message',
      role: 'assistant',
      model: this.#plan.model
    }
    const tail = {
      stop_reason: StopReasons[reason],
      stop_sequence: stopSequence ?? null,
      ...safeguardMembers(this.#plan),
      usage: toAnthropicUsage({ cacheReadTokens: 0, cacheWriteTokens: 0, ...usage }, this.#searches)
    }
    return glue(
      `${JSON.stringify(head).slice(0, -1)},"content":[`,
      glueWith(',', this.#blocks.map(toBlockJson)),
      `],${JSON.stringify(tail).slice(1)}`
    )
  }

  #add<B extends Block>(block: B): B {
    this.#room.hold(BlockBytes)
    this.#blocks.push(block)
    return block
  }

  #addText(text: string): void {
    const last = this.#blocks.at(-1)
    const block =
      last?.type === 'text'
        ? last
        : this.#add({ type: 'text', text: new OutputText(this.#room) } as const)
    block.text.add(text)
  }

  /** The thinking block that is being written; a signed one is complete. */
  #thinking(): Extract<Block, { type: 'thinking' }> {
    const last = this.#blocks.at(-1)
    if (last?.type === 'thinking' && last.signature === '') return last
    return this.#add({ type: 'thinking', text: new OutputText(this.#room), signature: '' })
  }

  #newCall(id: string, name: string): Block {
    return { type: 'tool', id, name, json: new OutputText(this.#room, 'plain') }
  }

  #addSearch(json: string): void {
    this.#room.hold(heapBytesOf(json))
    this.#add({ type: 'search', json })
  }

  #addJson(json: string): void {
    const last = this.#blocks.at(-1)
    if (last?.type === 'tool') last.json.add(json)
  }
}

/** Tool arguments go in as the text they are: parsing them would round large numbers. */
function toBlockJson(block: Block): Written {
  switch (block.type) {
    case 'search':
      return block.json
    case 'redacted':
      return JSON.stringify({ type: 'redacted_thinking', data: block.content })
    case 'tool': {
      const head = JSON.stringify({ type: 'tool_use', id: block.id, name: block.name })
      return glue(`${head.slice(0, -1)},"input":`, block.json.written(), '}')
    }
    case 'text':
      return glue('{"type":"text","text":', block.text.written(), '}')
    case 'thinking': {
      const signature = JSON.stringify(block.signature)
      const text = block.text.written()
      return glue('{"type":"thinking","thinking":', text, `,"signature":${signature}}`)
    }
  }
  return ''
}
