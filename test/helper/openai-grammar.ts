import { readSse, stringOf } from './sse-messages.ts'

export interface OpenAiCall {
  readonly id: string
  readonly name: string
  json: string
}

export interface OpenAiStream {
  readonly text: string
  readonly reasoning: string
  readonly calls: readonly OpenAiCall[]
  readonly finishReason: string | null
  readonly usage: Record<string, unknown> | null
  readonly error: Record<string, unknown> | null
  readonly deltas: readonly Record<string, unknown>[]
}

type Json = Record<string, unknown>
interface ToolDelta {
  readonly index: number
  readonly id?: string
  readonly type?: string
  readonly function: { readonly name?: string; readonly arguments: string }
}

/**
 * Checks a whole stream against the rules of Chat Completions and puts
 * its message together. Throws at the first chunk that may not stand where it does.
 */
export function readOpenAiStream(text: string): OpenAiStream {
  const grammar = new OpenAiGrammar()
  for (const { event, data } of readSse(text).messages) {
    if (event !== null) throw new Error(`event: ${event} in a chat stream`)
    if (data === '[DONE]') grammar.done()
    else grammar.read(JSON.parse(data) as Json)
  }
  return grammar.finish()
}

class OpenAiGrammar {
  #state: 'new' | 'open' | 'finished' | 'usage' | 'done' | 'failed' = 'new'
  #identity = ''
  #text = ''
  #reasoning = ''
  #finishReason: string | null = null
  #usage: Json | null = null
  #error: Json | null = null
  readonly #calls: OpenAiCall[] = []
  readonly #deltas: Json[] = []

  read(json: Json): void {
    if (this.#state === 'done' || this.#state === 'failed') throw new Error('chunk after the end')
    if ('error' in json) {
      this.#error = json['error'] as Json
      this.#state = 'failed'
      return
    }
    this.#checkIdentity(json)
    const choices = json['choices'] as readonly Json[]
    if (choices.length === 0) this.#readUsage(json)
    else this.#readChoice(choices[0] as Json)
  }

  done(): void {
    if (this.#state !== 'finished' && this.#state !== 'usage') {
      throw new Error(`[DONE] in state ${this.#state}`)
    }
    this.#state = 'done'
  }

  finish(): OpenAiStream {
    if (this.#state !== 'done' && this.#state !== 'failed') throw new Error('The stream has no end')
    return {
      text: this.#text,
      reasoning: this.#reasoning,
      calls: this.#calls,
      finishReason: this.#finishReason,
      usage: this.#usage,
      error: this.#error,
      deltas: this.#deltas
    }
  }

  #checkIdentity(json: Json): void {
    const { id, object, created, model } = json
    const identity = JSON.stringify([id, object, created, model])
    if (this.#identity === '') this.#identity = identity
    if (object !== 'chat.completion.chunk') throw new Error(`object is ${stringOf(object)}`)
    if (identity !== this.#identity) throw new Error('id, created or model changes')
  }

  #readUsage(json: Json): void {
    if (this.#state !== 'finished') throw new Error(`usage in state ${this.#state}`)
    this.#usage = json['usage'] as Json
    this.#state = 'usage'
  }

  #readChoice(choice: Json): void {
    if (choice['index'] !== 0) throw new Error('choice index is not 0')
    if (this.#state !== 'new' && this.#state !== 'open') throw new Error('delta after the finish')
    const delta = choice['delta'] as Json
    this.#deltas.push(delta)
    if ('role' in delta !== (this.#state === 'new'))
      throw new Error('role must come first and once')
    this.#state = 'open'
    this.#text += stringOf(delta['content'])
    this.#reasoning += stringOf(delta['reasoning_content'])
    for (const call of (delta['tool_calls'] ?? []) as readonly ToolDelta[]) this.#readCall(call)
    if (choice['finish_reason'] === null) return
    this.#finishReason = stringOf(choice['finish_reason'])
    this.#state = 'finished'
  }

  #readCall(delta: ToolDelta): void {
    if (delta.id === undefined) {
      if (delta.index !== this.#calls.length - 1) throw new Error('arguments of another call')
      this.#calls.at(-1)!.json += delta.function.arguments
      return
    }
    const isWhole = delta.type === 'function' && delta.function.name !== undefined
    if (!isWhole || delta.index !== this.#calls.length) throw new Error('a call begins badly')
    const { name = '', arguments: json } = delta.function
    this.#calls.push({ id: delta.id, name, json })
  }
}
