import { toCountMembers } from '../answer/usage.ts'
import type { GatewayError } from '../../shared/errors.ts'
import {
  type AnswerBlock,
  AnswerWriter,
  type BlockKind,
  CollectedBlock,
  toSseData,
  type WriterOptions,
  glue,
  glueWith,
  type Written
} from '../answer/answer-writer.ts'
import { OpenAiErrors } from '../answer/openai-error.ts'
import type { EndPart, EndReason, Usage } from '../answer/stream-part.ts'

export interface ChatWishes {
  /** `stream_options.include_usage`; always true for an answer in one piece. */
  readonly wantsUsage: boolean
  /** The client offered `functions`, and reads its one call from `function_call`. */
  readonly isLegacyCall: boolean
}

const Done = toSseData('[DONE]')
const DeltaTail = '},"finish_reason":null}]}\n\n'
const Members = { text: '"content":', reasoning: '"reasoning_content":' } as const

/**
 * Writes chat completion chunks, or a chat completion. `[DONE]` ends only a whole answer. Only the model's
 * words go through `JSON.stringify`; the rest of a chunk is made once per answer
 * (measured: 100 deltas take 0.06 ms from event to bytes, stringifying whole chunks
 * alone 0.09 ms).
 */
export class ChatWriter extends AnswerWriter<ChatWishes> {
  readonly #head: string
  readonly #deltaHead: string
  #hasRole = false
  #toolIndex = -1
  readonly #said: { text?: CollectedBlock; reasoning?: CollectedBlock } = {}
  readonly #calls: CollectedBlock[] = []

  constructor(options: WriterOptions<ChatWishes>) {
    super(options)
    this.#head = `data: ${this.#open('chat.completion.chunk')},"choices":`
    this.#deltaHead = `${this.#head}[{"index":0,"delta":{`
  }

  protected override open(kind: 'text' | 'reasoning'): AnswerBlock {
    const member = Members[kind]
    if (this.plan.asked.isStream) return this.#streamed(kind, '', [member, ''])
    return (this.#said[kind] ??= this.#collected(kind, member, []))
  }

  protected override openCall(id: string, name: string): AnswerBlock {
    const { own, isStream } = this.plan.asked
    const called = `{"name":${JSON.stringify(name)},"arguments":`
    const fixed = `"id":${JSON.stringify(id)},"type":"function","function":${called}`
    if (!isStream) {
      return this.#collected('call', own.isLegacyCall ? called : `{${fixed}`, this.#calls)
    }
    const place = own.isLegacyCall ? '' : `"tool_calls":[{"index":${++this.#toolIndex},`
    const begun = own.isLegacyCall ? `"function_call":${called}""}` : `${place}${fixed}""}}]`
    return this.#streamed(
      'call',
      begun,
      own.isLegacyCall
        ? ['"function_call":{"arguments":', '}']
        : [`${place}"function":{"arguments":`, '}}]']
    )
  }

  protected override writeEnd({ reason, usage: tokens }: EndPart): string {
    const { isStream, own } = this.plan.asked
    if (!isStream) return ''
    const role = this.#hasRole ? '' : this.#delta('"content":""')
    const finish = `${this.#deltaHead}},"finish_reason":"${toFinishReason(reason, own)}"}]}\n\n`
    const usage = `${this.#head}[],"usage":${JSON.stringify(toOpenAiUsage(tokens))}}\n\n`
    return role + finish + (own.wantsUsage ? usage : '') + Done
  }

  protected override writeFailure(error: GatewayError): string {
    return OpenAiErrors.toEvent(error)
  }

  protected override writeWhole({ reason, usage }: EndPart): Written {
    const finish = {
      finish_reason: toFinishReason(reason, this.plan.asked.own),
      logprobs: null
    }
    // OpenRouter's SDK requires the fingerprint here, and refuses `null` for that of a chunk.
    return glue(
      `${this.#open('chat.completion')},"system_fingerprint":null,"choices":[{"index":0,"message":`,
      this.#message(),
      `,${JSON.stringify(finish).slice(1)}],"usage":${JSON.stringify(toOpenAiUsage(usage))}}`
    )
  }

  #open(object: string): string {
    const { id, created } = this.identity
    return JSON.stringify({ id, object, created, model: this.plan.asked.model }).slice(0, -1)
  }

  #message(): Written {
    const [words, reasoning] = [this.#said.text?.text, this.#said.reasoning?.text]
    const wordless = this.#calls.length > 0 ? 'null' : '""'
    return glue(
      '{"role":"assistant","content":',
      words === undefined || words.isEmpty ? wordless : words.written(),
      ',"refusal":null,"annotations":[]',
      ...(reasoning === undefined || reasoning.isEmpty
        ? []
        : [',"reasoning_content":', reasoning.written()]),
      this.#writtenCalls(),
      '}'
    )
  }

  #writtenCalls(): Written {
    const [first] = this.#calls
    if (first === undefined) return ''
    if (this.plan.asked.own.isLegacyCall) {
      return glue(',"function_call":', first.head, first.text.written(), '}')
    }
    const calls = this.#calls.map(({ head, text }) => glue(head, text.written(), '}}'))
    return glue(',"tool_calls":[', glueWith(',', calls), ']')
  }

  #collected(kind: BlockKind, head: string, blocks: CollectedBlock[]): CollectedBlock {
    return new CollectedBlock({ kind, head, blocks, room: this.room })
  }

  #streamed(kind: BlockKind, begun: string, around: readonly [string, string]): AnswerBlock {
    const [before, after] = around
    const head = this.#deltaHead + before
    const tail = after + DeltaTail
    return {
      kind,
      begin: () => (begun === '' ? '' : this.#delta(begun)),
      add: (text) => {
        const json = JSON.stringify(text)
        return this.#hasRole ? head + json + tail : this.#delta(before + json + after)
      },
      sign: () => '',
      end: () => ''
    }
  }

  #delta(members: string): string {
    const role = this.#hasRole ? '' : '"role":"assistant",'
    this.#hasRole = true
    return this.#deltaHead + role + members + DeltaTail
  }
}

const FinishReasons = {
  stop: 'stop',
  tool: 'tool_calls',
  length: 'length',
  context: 'length',
  'stop-sequence': 'stop',
  filter: 'content_filter',
  pause: 'stop'
} as const satisfies Record<EndReason, string>

function toFinishReason(reason: EndReason, { isLegacyCall }: ChatWishes): string {
  return reason === 'tool' && isLegacyCall ? 'function_call' : FinishReasons[reason]
}

/** Cached tokens are part of `prompt_tokens` in OpenAI's usage (kiro-protocol §6.3). */
function toOpenAiUsage(usage: Usage): object {
  const {
    cacheReadTokens,
    cacheWriteTokens,
    reasoningTokens,
    credits,
    hiddenTokens: hidden,
    inputWithin: within
  } = usage
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
    ...toCountMembers({ hidden, within }),
    ...(credits !== undefined && { credits_used: credits })
  }
}
