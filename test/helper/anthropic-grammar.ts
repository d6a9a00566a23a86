import { readSse, stringOf } from './sse-messages.ts'

export interface AnthropicBlock {
  readonly type: string
  text: string
  signature: string
  readonly start: Record<string, unknown>
}

export interface AnthropicStream {
  readonly message: Record<string, unknown>
  readonly blocks: readonly AnthropicBlock[]
  readonly delta: Record<string, unknown>
  readonly usage: Record<string, unknown>
  readonly error: Record<string, unknown> | null
  readonly pings: number
}

type Json = Record<string, unknown>

/** Which deltas may stand in which block, and which member holds their text. */
const DeltaRules: Record<string, Record<string, string>> = {
  text: { text_delta: 'text' },
  thinking: { thinking_delta: 'thinking', signature_delta: 'signature' },
  tool_use: { input_json_delta: 'partial_json' },
  redacted_thinking: {}
}

/**
 * Checks a whole stream against the grammar of Messages and puts its blocks together.
 * Throws at the first event that may not stand where it does.
 */
export function readAnthropicStream(text: string): AnthropicStream {
  const grammar = new AnthropicGrammar()
  for (const { event, data } of readSse(text).messages) {
    const json = JSON.parse(data) as Json
    if (json['type'] !== event)
      throw new Error(`event: ${event} carries type ${stringOf(json['type'])}`)
    grammar.read(json)
  }
  return grammar.finish()
}

class AnthropicGrammar {
  #state: 'new' | 'between' | 'block' | 'signed' | 'delta' | 'stopped' | 'failed' = 'new'
  #message: Json = {}
  #delta: Json = {}
  #usage: Json = {}
  #error: Json | null = null
  #pings = 0
  readonly #blocks: AnthropicBlock[] = []

  read(json: Json): void {
    const type = stringOf(json['type'])
    if (type === 'ping') return this.#ping()
    if (type === 'error') return this.#fail(json)
    switch (type) {
      case 'message_start':
        this.#move(type, ['new'], 'between')
        this.#message = json['message'] as Json
        break
      case 'content_block_start':
        this.#move(type, ['between'], 'block')
        this.#start(json)
        break
      case 'content_block_delta':
        this.#move(type, ['block'], 'block')
        this.#add(json)
        break
      case 'content_block_stop':
        this.#move(type, ['block', 'signed'], 'between')
        this.#checkIndex(json, this.#blocks.length - 1)
        break
      case 'message_delta':
        this.#move(type, ['between'], 'delta')
        this.#delta = json['delta'] as Json
        this.#usage = json['usage'] as Json
        break
      case 'message_stop':
        this.#move(type, ['delta'], 'stopped')
        break
      default:
        throw new Error(`Unknown event ${type}`)
    }
  }

  finish(): AnthropicStream {
    if (this.#state !== 'stopped' && this.#state !== 'failed') {
      throw new Error(`The stream ends in state ${this.#state}`)
    }
    return {
      message: this.#message,
      blocks: this.#blocks,
      delta: this.#delta,
      usage: this.#usage,
      error: this.#error,
      pings: this.#pings
    }
  }

  #ping(): void {
    if (this.#state === 'stopped' || this.#state === 'failed') throw new Error('ping after the end')
    this.#pings++
  }

  #fail(json: Json): void {
    if (this.#state === 'stopped' || this.#state === 'failed')
      throw new Error('error after the end')
    this.#state = 'failed'
    this.#error = json['error'] as Json
  }

  #start(json: Json): void {
    this.#checkIndex(json, this.#blocks.length)
    const start = json['content_block'] as Json
    this.#blocks.push({ type: stringOf(start['type']), text: '', signature: '', start })
  }

  #add(json: Json): void {
    this.#checkIndex(json, this.#blocks.length - 1)
    const block = this.#blocks.at(-1)!
    const delta = json['delta'] as Json
    const member = DeltaRules[block.type]?.[stringOf(delta['type'])]
    if (member === undefined) throw new Error(`${stringOf(delta['type'])} in a ${block.type} block`)
    const value = stringOf(delta[member])
    if (value === '') throw new Error(`empty ${stringOf(delta['type'])}`)
    if (member !== 'signature') block.text += value
    else {
      block.signature += value
      this.#state = 'signed'
    }
  }

  #checkIndex(json: Json, index: number): void {
    if (json['index'] !== index) throw new Error(`wrong index, ${index} is due`)
  }

  #move(
    type: string,
    from: readonly string[],
    to: 'new' | 'between' | 'block' | 'delta' | 'stopped'
  ) {
    if (!from.includes(this.#state)) throw new Error(`${type} in state ${this.#state}`)
    this.#state = to
  }
}
