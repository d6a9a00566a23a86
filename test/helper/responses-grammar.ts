import { isDeepStrictEqual } from 'node:util'
import { readSse, stringOf } from './sse-messages.ts'

type Json = Record<string, unknown>

export interface ResponsesStream {
  /** Types of the events in order. */
  readonly types: readonly string[]
  /** `response` of the last event. */
  readonly response: Json
  readonly output: readonly Json[]
  /** Ids of the items whose end was told. */
  readonly doneIds: readonly string[]
  readonly comments: number
}

interface OpenItem {
  readonly index: number
  readonly added: Json
  text: string
  part: 'none' | 'open' | 'done'
  isTextDone: boolean
}

/** How the text of each type of item is told, and which member of the item holds it. */
const Streams: Record<string, { stem: string; member: string; place?: string; part?: string }> = {
  message: {
    stem: 'response.output_text',
    member: 'text',
    place: 'content_index',
    part: 'response.content_part'
  },
  reasoning: {
    stem: 'response.reasoning_summary_text',
    member: 'text',
    place: 'summary_index',
    part: 'response.reasoning_summary_part'
  },
  function_call: { stem: 'response.function_call_arguments', member: 'arguments' },
  custom_tool_call: { stem: 'response.custom_tool_call_input', member: 'input' }
}
const Prefixes: Record<string, string> = {
  message: 'msg',
  reasoning: 'rs',
  function_call: 'fc',
  custom_tool_call: 'ctc',
  tool_search_call: 'tsc',
  web_search_call: 'ws',
  compaction: 'cmp'
}
const Ends = ['response.completed', 'response.incomplete', 'response.failed']

/**
 * Checks a whole stream against the grammar of Responses. Throws at the first event that may not stand
 * where it does. Only what broke off may stay without its `done`: then the response is not complete either.
 */
export function readResponsesStream(text: string): ResponsesStream {
  const grammar = new ResponsesGrammar()
  const { messages, comments } = readSse(text)
  for (const { event, data } of messages) {
    const json = JSON.parse(data) as Json
    if (event === null || json['type'] !== event)
      throw new Error(`event: ${event} of type ${stringOf(json['type'])}`)
    grammar.read(event, json)
  }
  return { ...grammar.finish(), comments }
}

class ResponsesGrammar {
  readonly #types: string[] = []
  readonly #items: Json[] = []
  readonly #doneIds: string[] = []
  readonly #ids = new Set<string>()
  #item: OpenItem | null = null
  #unfinished = 0
  #created: Json | null = null
  #last: Json | null = null

  read(type: string, json: Json): void {
    if (this.#last !== null) throw new Error(`${type} after the end`)
    const { length } = this.#types
    if (json['sequence_number'] !== length) throw new Error(`${type} is not number ${length}`)
    this.#types.push(type)
    if (length < 2) return this.#begin(type, json)
    if (Ends.includes(type)) return this.#end(type, json)
    if (type === 'response.output_item.added') return this.#add(json)
    const item = this.#item
    if (item === null) throw new Error(`${type} without an item`)
    if (json['output_index'] !== item.index) throw new Error(`${type} of another place`)
    if (type === 'response.output_item.done') return this.#finish(item, json)
    if (json['item_id'] !== item.added['id']) throw new Error(`${type} of another item`)
    if (!type.startsWith('response.web_search_call.')) this.#readText(item, type, json)
  }

  finish(): Omit<ResponsesStream, 'comments'> {
    if (this.#last === null) throw new Error('The stream has no end')
    return {
      types: this.#types,
      response: this.#last,
      output: this.#last['output'] as Json[],
      doneIds: this.#doneIds
    }
  }

  #begin(type: string, json: Json): void {
    const due = this.#created === null ? 'response.created' : 'response.in_progress'
    const response = json['response'] as Json
    if (type !== due) throw new Error(`${type} where ${due} is due`)
    if (response['status'] !== 'in_progress' || (response['output'] as Json[]).length > 0)
      throw new Error(`${type} of something begun`)
    this.#created = response
  }

  #add(json: Json): void {
    // What broke off stays open; whoever announces the next item has left it.
    this.#leave()
    const item = json['item'] as Json
    const id = stringOf(item['id'])
    const prefix = Prefixes[stringOf(item['type'])]
    if (prefix === undefined || !id.startsWith(`${prefix}_`)) throw new Error(`id ${id}`)
    if (this.#ids.has(id)) throw new Error(`id ${id} again`)
    this.#ids.add(id)
    const index = this.#items.length
    if (json['output_index'] !== index) throw new Error(`wrong place, ${index} is due`)
    this.#items.push(item)
    this.#item = { index, added: item, text: '', part: 'none', isTextDone: false }
  }

  #readText(item: OpenItem, type: string, json: Json): void {
    const stream = Streams[stringOf(item.added['type'])]
    if (stream === undefined) throw new Error(`${type} in a ${stringOf(item.added['type'])}`)
    const { stem, member, place, part } = stream
    if (place !== undefined && json[place] !== 0) throw new Error(`${type} without its ${place}`)
    if (item.isTextDone && type !== `${part}.done`) throw new Error(`${type} after the text`)
    if (type === `${part}.added`) this.#expect(item.part, 'none', type, () => (item.part = 'open'))
    else if (type === `${stem}.delta`) {
      if (part !== undefined && item.part !== 'open') throw new Error(`${type} without a part`)
      if (stringOf(json['delta']) === '') throw new Error(`empty ${type}`)
      item.text += stringOf(json['delta'])
    } else if (type === `${stem}.done`) {
      if (json[member] !== item.text) throw new Error(`${type} differs from its deltas`)
      const { type: kind, name } = item.added
      if (kind === 'function_call' && json['name'] !== name)
        throw new Error(`${type} without the function's name`)
      item.isTextDone = true
    } else if (type === `${part}.done`) {
      this.#expect(item.part, 'open', type, () => (item.part = 'done'))
      if ((json['part'] as Json)['text'] !== item.text) throw new Error('the part has another text')
    } else throw new Error(`${type} in a ${stringOf(item.added['type'])}`)
  }

  #expect(state: string, wanted: string, type: string, then: () => void): void {
    if (state !== wanted) throw new Error(`${type} while the part is ${state}`)
    then()
  }

  #finish(item: OpenItem, json: Json): void {
    const done = json['item'] as Json
    for (const name of ['id', 'type', 'call_id', 'name', 'namespace', 'role', 'execution']) {
      if (done[name] !== item.added[name]) throw new Error(`${name} of the item changes`)
    }
    const stream = Streams[stringOf(done['type'])]
    if (stream !== undefined && textOf(done) !== item.text)
      throw new Error('the item has another text')
    if (item.part === 'open') throw new Error('the part is not done')
    if (item.text !== '' && !item.isTextDone && stream !== undefined)
      throw new Error('text not done')
    this.#items[item.index] = done
    this.#doneIds.push(stringOf(done['id']))
    this.#item = null
  }

  #leave(): void {
    if (this.#item === null) return
    this.#unfinished++
    this.#item = null
  }

  #end(type: string, json: Json): void {
    this.#leave()
    const response = json['response'] as Json
    const status = type.slice('response.'.length)
    if (response['status'] !== status)
      throw new Error(`${type} of status ${stringOf(response['status'])}`)
    for (const name of ['id', 'object', 'created_at', 'model']) {
      if (response[name] !== this.#created?.[name])
        throw new Error(`${name} of the response changes`)
    }
    if ((response['error'] === null) !== (status !== 'failed')) throw new Error('error and status')
    if ((response['incomplete_details'] === null) !== (status !== 'incomplete'))
      throw new Error('incomplete_details and status')
    if (status !== 'failed' && response['usage'] === null) throw new Error('no usage')
    if (status === 'completed' && this.#unfinished > 0)
      throw new Error('complete with an open item')
    this.#checkOutput(response['output'] as Json[])
    this.#last = response
  }

  #checkOutput(output: readonly Json[]): void {
    if (output.length !== this.#items.length) throw new Error('the output has not all items')
    for (const [index, item] of output.entries()) {
      const told = this.#items[index]
      if (item['id'] !== told?.['id']) throw new Error('the output has other items')
      const isDone = this.#doneIds.includes(stringOf(item['id']))
      if (isDone && !isDeepStrictEqual(item, told)) throw new Error('an item differs in the output')
      if (!isDone && (item['status'] ?? 'incomplete') !== 'incomplete')
        throw new Error('an item is complete that was never done')
    }
  }
}

/** The text of an item, in whatever member its type has it. */
export function textOf(item: Json): string {
  const parts = (item['content'] ?? item['summary'] ?? []) as Json[]
  const words = parts.map((part) => stringOf(part['text'])).join('')
  return (
    words +
    stringOf(item['input']) +
    (item['type'] === 'function_call' ? stringOf(item['arguments']) : '')
  )
}
