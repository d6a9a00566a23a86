import { type AnswerRoom, ENDLESS_ROOM } from '../answer/long-text.ts'
import { OpenAiErrors } from '../answer/openai-error.ts'
import { glue, glueWith, OutputText, type Written } from '../answer/output-text.ts'
import { SseComment, toSseData, toTellable } from '../answer/sse.ts'
import type {
  AnswerIdentity,
  Collector,
  EndReason,
  StreamPart,
  Translator,
  Usage
} from '../answer/stream-part.ts'
import type { ReplyPlan } from '../plan/plan.ts'

/** What a client of this API asks of its answer beside what all may ask. */
export interface ChatWishes {
  /** `stream_options.include_usage`; always true for an answer in one piece. */
  readonly wantsUsage: boolean
  /** The client offered `functions`, so it reads its one call from `function_call`. */
  readonly isLegacyCall: boolean
}

type ChatPlan = ReplyPlan<ChatWishes>

interface CollectedCall {
  readonly id: string
  readonly name: string
  readonly json: OutputText
}

/** Collects one answer into a chat completion (kiro-protocol §10.2.2). */
export class OpenAiChatAnswer implements Collector {
  readonly #plan: ChatPlan
  readonly #identity: AnswerIdentity
  readonly #room: AnswerRoom
  readonly #text: OutputText
  readonly #reasoning: OutputText
  readonly #calls: CollectedCall[] = []
  #end: Extract<StreamPart, { type: 'end' }> | null = null

  constructor(plan: ChatPlan, identity: AnswerIdentity, room: AnswerRoom = ENDLESS_ROOM) {
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
    const head = { id, object: 'chat.completion', created, model: this.#plan.asked.model }
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
    if (this.#plan.asked.own.isLegacyCall) return glue(',"function_call":', toFunction(first))
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
  readonly #plan: ChatPlan
  /** All of a chunk up to `"choices":`. */
  readonly #head: string
  /** All of a chunk up to the members of its delta. */
  readonly #deltaHead: string
  #state: 'new' | 'open' | 'ended' = 'new'
  #toolIndex = -1
  /** A call broke off that the client has seen the beginning of. */
  #isCut = false

  constructor(plan: ChatPlan, identity: AnswerIdentity) {
    const { id, created } = identity
    const fixed = { id, object: 'chat.completion.chunk', created, model: plan.asked.model }
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
    if (this.#plan.asked.own.isLegacyCall) return this.#delta(`"function_call":${called}`)
    this.#toolIndex++
    const fixed = `"index":${this.#toolIndex},"id":${JSON.stringify(id)},"type":"function"`
    return this.#delta(`"tool_calls":[{${fixed},"function":${called}}]`)
  }

  #addArguments(json: string): string {
    if (this.#plan.asked.own.isLegacyCall)
      return this.#delta(`"function_call":{"arguments":${json}}`)
    return this.#delta(
      `"tool_calls":[{"index":${this.#toolIndex},"function":{"arguments":${json}}}]`
    )
  }

  #end(part: EndPart): string {
    const role = this.#state === 'new' ? this.#delta('"content":""') : ''
    const reason = this.#isCut && part.reason === 'tool' ? 'length' : part.reason
    const finish = `${this.#deltaHead}},"finish_reason":"${toFinishReason(reason, this.#plan)}"}]}\n\n`
    const usage = this.#plan.asked.own.wantsUsage
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

/** OpenAI's words for why an answer ended (kiro-protocol §10.1). */
const FinishReasons = {
  stop: 'stop',
  tool: 'tool_calls',
  length: 'length',
  context: 'length',
  'stop-sequence': 'stop',
  filter: 'content_filter',
  pause: 'stop'
} as const satisfies Record<EndReason, string>

/** The reason in the words that the client of a request knows. */
export function toFinishReason(reason: EndReason, { asked }: ChatPlan): string {
  return reason === 'tool' && asked.own.isLegacyCall ? 'function_call' : FinishReasons[reason]
}

/** Usage in OpenAI's words; cached tokens are a part of `prompt_tokens` there (kiro-protocol §6.3). */
export function toOpenAiUsage(usage: Usage): object {
  const { cacheReadTokens, cacheWriteTokens, reasoningTokens, credits } = usage
  const promptTokens = usage.inputTokens + (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0)
  return {
    prompt_tokens: promptTokens,
    completion_tokens: usage.outputTokens,
    total_tokens: promptTokens + usage.outputTokens,
    ...(cacheReadTokens !== undefined && {
      prompt_tokens_details: { cached_tokens: cacheReadTokens }
    }),
    ...(reasoningTokens !== undefined && {
      completion_tokens_details: { reasoning_tokens: reasoningTokens }
    }),
    ...(credits !== undefined && { credits_used: credits })
  }
}
