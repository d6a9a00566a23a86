import type { AnswerIdentity } from '../answer-identity.ts'
import { type AnswerRoom, ENDLESS_ROOM } from '../answer-room.ts'
import { glue, glueWith, OutputText, type Written } from '../output-text.ts'
import type { ReplyPlan } from '../reply-plan.ts'
import type { Collector, StreamPart } from '../stream-part.ts'
import { toFinishReason } from './finish-reason.ts'
import { toOpenAiUsage } from './usage.ts'

interface CollectedCall {
  readonly id: string
  readonly name: string
  readonly json: OutputText
}

/** Collects one answer into a chat completion (kiro-protocol §10.2.2). */
export class OpenAiChatAnswer implements Collector {
  readonly #plan: ReplyPlan
  readonly #identity: AnswerIdentity
  readonly #room: AnswerRoom
  readonly #text: OutputText
  readonly #reasoning: OutputText
  readonly #calls: CollectedCall[] = []
  #end: Extract<StreamPart, { type: 'end' }> | null = null

  constructor(plan: ReplyPlan, identity: AnswerIdentity, room: AnswerRoom = ENDLESS_ROOM) {
    this.#plan = plan
    this.#identity = identity
    this.#room = room
    this.#text = new OutputText(room)
    this.#reasoning = new OutputText(room)
  }

  push(part: StreamPart): void {
    switch (part.type) {
      case 'text':
        this.#text.add(part.text)
        break
      case 'reasoning':
        this.#reasoning.add(part.text)
        break
      case 'tool-start':
        this.#calls.push({ id: part.id, name: part.name, json: new OutputText(this.#room) })
        break
      case 'tool-delta':
        this.#calls.at(-1)?.json.add(part.json)
        break
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

  toJson(): Written {
    if (this.#end === null) throw new Error('The answer has not ended')
    const { reason, usage } = this.#end
    const { id, created } = this.#identity
    const head = { id, object: 'chat.completion', created, model: this.#plan.model }
    const finish = { finish_reason: toFinishReason(reason, this.#plan), logprobs: null }
    return glue(
      `${open(head)},"choices":[{"index":0,"message":`,
      this.#message(),
      `,${JSON.stringify(finish).slice(1)}],"usage":${JSON.stringify(toOpenAiUsage(usage))}}`
    )
  }

  #message(): Written {
    const isWordless = this.#text.isEmpty && this.#calls.length > 0
    return glue(
      '{"role":"assistant","content":',
      isWordless ? 'null' : this.#text.written(),
      ',"refusal":null',
      ...(this.#reasoning.isEmpty ? [] : [',"reasoning_content":', this.#reasoning.written()]),
      this.#writtenCalls(),
      '}'
    )
  }

  #writtenCalls(): Written {
    const [first] = this.#calls
    if (first === undefined) return ''
    if (this.#plan.isLegacyCall === true) return glue(',"function_call":', toFunction(first))
    return glue(',"tool_calls":[', glueWith(',', this.#calls.map(toToolCall)), ']')
  }
}

function toToolCall(call: CollectedCall): Written {
  const head = { id: call.id, type: 'function' }
  return glue(`${open(head)},"function":`, toFunction(call), '}')
}

function toFunction({ name, json }: CollectedCall): Written {
  return glue(`${open({ name })},"arguments":`, json.written(), '}')
}

/** An object's JSON text without its closing brace. */
function open(object: object): string {
  return JSON.stringify(object).slice(0, -1)
}
