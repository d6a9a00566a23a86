import type { AnswerIdentity } from '../answer-identity.ts'
import type { ReplyPlan } from '../reply-plan.ts'
import type { Collector, StreamPart } from '../stream-part.ts'
import { safeguardMembers } from './safeguards.ts'
import { toSearchBlocks } from './search-blocks.ts'
import { StopReasons } from './stop-reason.ts'
import { toAnthropicUsage } from './usage.ts'

type Block =
  | { readonly type: 'text'; text: string }
  | { readonly type: 'thinking'; text: string; signature: string }
  | { readonly type: 'redacted'; readonly content: string }
  | { readonly type: 'tool'; readonly id: string; readonly name: string; json: string }
  | { readonly type: 'search'; readonly json: string }

/** Collects one answer into a message (kiro-protocol §10.4.2). */
export class AnthropicAnswer implements Collector {
  readonly #plan: ReplyPlan
  readonly #identity: AnswerIdentity
  readonly #blocks: Block[] = []
  #searches = 0
  #end: Extract<StreamPart, { type: 'end' }> | null = null

  constructor(plan: ReplyPlan, identity: AnswerIdentity) {
    this.#plan = plan
    this.#identity = identity
  }

  push(part: StreamPart): void {
    switch (part.type) {
      case 'text':
        this.#addText(part.text)
        break
      case 'reasoning':
        this.#thinking().text += part.text
        break
      case 'signature':
        this.#thinking().signature = part.signature
        break
      case 'redacted':
        this.#blocks.push(part)
        break
      case 'tool-start':
        this.#blocks.push({ type: 'tool', id: part.id, name: part.name, json: '' })
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
        this.#blocks.push({ type: 'search', json: toSearchBlocks(part).join(',') })
        break
    }
  }

  toJson(): string {
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
    const content = this.#blocks.map(toBlockJson).join(',')
    return `${JSON.stringify(head).slice(0, -1)},"content":[${content}],${JSON.stringify(tail).slice(1)}`
  }

  #addText(text: string): void {
    const last = this.#blocks.at(-1)
    if (last?.type === 'text') last.text += text
    else this.#blocks.push({ type: 'text', text })
  }

  /** The thinking block that is being written; a signed one is complete. */
  #thinking(): Extract<Block, { type: 'thinking' }> {
    const last = this.#blocks.at(-1)
    if (last?.type === 'thinking' && last.signature === '') return last
    const block: Block = { type: 'thinking', text: '', signature: '' }
    this.#blocks.push(block)
    return block
  }

  #addJson(json: string): void {
    const last = this.#blocks.at(-1)
    if (last?.type === 'tool') last.json += json
  }
}

/** Tool arguments go in as the text they are: parsing them would round large numbers. */
function toBlockJson(block: Block): string {
  if (block.type === 'search') return block.json
  if (block.type === 'tool') {
    const head = JSON.stringify({ type: 'tool_use', id: block.id, name: block.name })
    return `${head.slice(0, -1)},"input":${block.json}}`
  }
  if (block.type === 'text') return JSON.stringify({ type: 'text', text: block.text })
  if (block.type === 'redacted') {
    return JSON.stringify({ type: 'redacted_thinking', data: block.content })
  }
  return JSON.stringify({ type: 'thinking', thinking: block.text, signature: block.signature })
}
