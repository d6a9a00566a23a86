import type { AnswerIdentity } from '../answer-identity.ts'
import type { ReplyPlan } from '../reply-plan.ts'
import type { Collector, StreamPart } from '../stream-part.ts'
import { toFinishReason } from './finish-reason.ts'
import { toOpenAiUsage } from './usage.ts'

interface CollectedCall {
  readonly id: string
  readonly name: string
  json: string
}

/** Collects one answer into a chat completion (kiro-protocol §10.2.2). */
export class OpenAiChatAnswer implements Collector {
  readonly #plan: ReplyPlan
  readonly #identity: AnswerIdentity
  #text = ''
  #reasoning = ''
  readonly #calls: CollectedCall[] = []
  #end: Extract<StreamPart, { type: 'end' }> | null = null

  constructor(plan: ReplyPlan, identity: AnswerIdentity) {
    this.#plan = plan
    this.#identity = identity
  }

  push(part: StreamPart): void {
    switch (part.type) {
      case 'text':
        this.#text += part.text
        break
      case 'reasoning':
        this.#reasoning += part.text
        break
      case 'tool-start':
        this.#calls.push({ id: part.id, name: part.name, json: '' })
        break
      case 'tool-delta': {
        const call = this.#calls.at(-1)
        if (call !== undefined) call.json += part.json
        break
      }
      case 'end':
        this.#end = part
        break
      case 'tool-end':
        // Nobody could tell it from a whole one in here.
        if (part.isCut === true) this.#calls.pop()
        break
      case 'signature':
      case 'redacted':
      case 'search':
        break
    }
  }

  toJson(): string {
    if (this.#end === null) throw new Error('The answer has not ended')
    const { reason, usage } = this.#end
    const choice = {
      index: 0,
      message: this.#message(),
      finish_reason: toFinishReason(reason, this.#plan),
      logprobs: null
    }
    return JSON.stringify({
      id: this.#identity.id,
      object: 'chat.completion',
      created: this.#identity.created,
      model: this.#plan.model,
      choices: [choice],
      usage: toOpenAiUsage(usage)
    })
  }

  #message(): object {
    const [first] = this.#calls
    const calls = this.#calls.map(toToolCall)
    const isLegacy = this.#plan.isLegacyCall === true
    return {
      role: 'assistant',
      content: this.#text === '' && first !== undefined ? null : this.#text,
      refusal: null,
      ...(this.#reasoning !== '' && { reasoning_content: this.#reasoning }),
      ...(first !== undefined && (isLegacy ? toFunctionCall(first) : { tool_calls: calls }))
    }
  }
}

function toFunctionCall({ name, json }: CollectedCall): object {
  return { function_call: { name, arguments: json } }
}

function toToolCall(call: CollectedCall): object {
  return { id: call.id, type: 'function', function: { name: call.name, arguments: call.json } }
}
