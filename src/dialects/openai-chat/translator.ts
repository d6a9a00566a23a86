import type { AnswerIdentity } from '../answer-identity.ts'
import { toTellable } from '../error-format.ts'
import type { ReplyPlan } from '../reply-plan.ts'
import { SseComment, toSseData } from '../sse.ts'
import type { StreamPart, Translator } from '../stream-part.ts'
import { OpenAiErrors } from './error-format.ts'
import { toFinishReason } from './finish-reason.ts'
import { toOpenAiUsage } from './usage.ts'

type EndPart = Extract<StreamPart, { type: 'end' }>

const Done = toSseData('[DONE]')

/**
 * Writes one answer as chat completion chunks (kiro-protocol §10.2.3). The role comes with the first
 * chunk and never again; `[DONE]` only after a whole answer.
 *
 * A chunk is glued from texts made once per answer: only what the model said goes through
 * `JSON.stringify` (test/bench/translator.bench.ts: an answer of 100 deltas takes 0.06 ms from event to
 * bytes; stringifying whole chunks alone takes 0.09 ms).
 */
export class OpenAiChatTranslator implements Translator {
  readonly #plan: ReplyPlan
  /** All of a chunk up to `"choices":`. */
  readonly #head: string
  /** All of a chunk up to the members of its delta. */
  readonly #deltaHead: string
  #state: 'new' | 'open' | 'ended' = 'new'
  #toolIndex = -1
  /** A call broke off that the client has seen the beginning of. */
  #isCut = false

  constructor(plan: ReplyPlan, identity: AnswerIdentity) {
    const { id, created } = identity
    const fixed = { id, object: 'chat.completion.chunk', created, model: plan.model }
    this.#plan = plan
    // A slice of a text that is as long.
    this.#head = `data: ${JSON.stringify(fixed).slice(0, -1)},"choices":`
    this.#deltaHead = `${this.#head}[{"index":0,"delta":{`
  }

  push(part: StreamPart): string {
    switch (part.type) {
      case 'text':
        return this.#delta(`"content":${JSON.stringify(part.text)}`)
      case 'reasoning':
        return this.#delta(`"reasoning_content":${JSON.stringify(part.text)}`)
      case 'tool-start':
        return this.#startTool(part.id, part.name)
      case 'tool-delta':
        return this.#addArguments(JSON.stringify(part.json))
      case 'end':
        return this.#end(part)
      case 'tool-end':
        if (part.isCut === true) this.#isCut = true
        break
      case 'signature':
      case 'redacted':
      case 'search':
        break
    }
    return ''
  }

  fail(error: Error): string {
    this.#state = 'ended'
    return OpenAiErrors.toEvent(toTellable(error))
  }

  heartbeat(): string {
    return this.#state === 'ended' ? '' : SseComment
  }

  #startTool(id: string, name: string): string {
    const called = `{"name":${JSON.stringify(name)},"arguments":""}`
    if (this.#plan.isLegacyCall === true) return this.#delta(`"function_call":${called}`)
    this.#toolIndex++
    const fixed = `"index":${this.#toolIndex},"id":${JSON.stringify(id)},"type":"function"`
    return this.#delta(`"tool_calls":[{${fixed},"function":${called}}]`)
  }

  #addArguments(json: string): string {
    if (this.#plan.isLegacyCall === true)
      return this.#delta(`"function_call":{"arguments":${json}}`)
    return this.#delta(
      `"tool_calls":[{"index":${this.#toolIndex},"function":{"arguments":${json}}}]`
    )
  }

  #end(part: EndPart): string {
    const role = this.#state === 'new' ? this.#delta('"content":""') : ''
    const reason = this.#isCut && part.reason === 'tool' ? 'length' : part.reason
    const finish = `${this.#deltaHead}},"finish_reason":"${toFinishReason(reason, this.#plan)}"}]}\n\n`
    const usage = this.#plan.wantsUsage
      ? `${this.#head}[],"usage":${JSON.stringify(toOpenAiUsage(part.usage))}}\n\n`
      : ''
    this.#state = 'ended'
    return role + finish + usage + Done
  }

  #delta(members: string): string {
    if (this.#state !== 'new') return `${this.#deltaHead}${members}},"finish_reason":null}]}\n\n`
    this.#state = 'open'
    return `${this.#deltaHead}"role":"assistant",${members}},"finish_reason":null}]}\n\n`
  }
}
