import { MAX_SEALED_CHARS, sealReasoning } from '../../kiro/conversation/signed-reasoning.ts'
import {
  type AnswerBlock,
  type BlockKind,
  glue,
  toText,
  type Written
} from '../answer/answer-writer.ts'
import { type AnswerRoom, heapBytesOf } from '../answer/output-text.ts'
import {
  type ItemKind,
  type OutputItem,
  type SearchItem,
  toItemJson,
  toSummaryPart,
  toTextPart
} from './output-items.ts'
import { RawInput } from './raw-input.ts'

const Added = toEventHead('response.output_item.added')
const Done = toEventHead('response.output_item.done')
const SearchSteps = [
  toEventHead('response.web_search_call.in_progress'),
  toEventHead('response.web_search_call.searching')
] as const
const SearchCompleted = toEventHead('response.web_search_call.completed')

interface TextEvents {
  readonly delta: EventHead
  readonly done: EventHead
  readonly member: string
  readonly place: string
  readonly extra: string
  readonly part: PartEvents | null
}

interface PartEvents {
  readonly added: EventHead
  readonly done: EventHead
  readonly toJson: (text: Written) => Written
}

const Streams: Readonly<Record<ItemKind, TextEvents | null>> = {
  message: toTextEvents('output_text', 'text', {
    place: ',"content_index":0',
    extra: ',"logprobs":[]',
    part: toPartEvents('content_part', toTextPart)
  }),
  reasoning: toTextEvents('reasoning_summary_text', 'text', {
    place: ',"summary_index":0',
    part: toPartEvents('reasoning_summary_part', toSummaryPart)
  }),
  function_call: toTextEvents('function_call_arguments', 'arguments'),
  custom_tool_call: toTextEvents('custom_tool_call_input', 'input'),
  tool_search_call: null,
  compaction: null
}

function toTextEvents(name: string, member: string, own: Partial<TextEvents> = {}): TextEvents {
  const delta = toEventHead(`response.${name}.delta`)
  const done = toEventHead(`response.${name}.done`)
  return { delta, done, member, place: '', extra: '', part: null, ...own }
}

function toPartEvents(name: string, toJson: PartEvents['toJson']): PartEvents {
  const added = toEventHead(`response.${name}.added`)
  return { added, done: toEventHead(`response.${name}.done`), toJson }
}

export class Output {
  readonly items: Written[] = []
  readonly kept = new Map<string, Written>()
  /** JSON text of the id of each kept item, and of each item that broke off. */
  readonly references: Written[] = []

  keep(id: string, json: Written): void {
    this.items.push(json)
    this.kept.set(id, json)
    this.references.push(JSON.stringify(id))
  }

  /** Adds an item that broke off, which no request can refer to. */
  add(json: Written): void {
    this.items.push(json)
    this.references.push(json)
  }
}

interface ItemEventsOptions {
  readonly events: EventWriter
  readonly output: Output
  readonly room: AnswerRoom
  /** The model whose reasoning the client may bring back; null if it keeps none. */
  readonly sealedFor: string | null
}

export class ItemEvents implements AnswerBlock {
  readonly kind: BlockKind
  readonly #output: Output
  readonly #room: AnswerRoom
  readonly #sealedFor: string | null
  readonly #rawInput: RawInput | null
  readonly #item: OutputItem
  readonly #events: EventWriter
  readonly #stream: TextEvents | null
  readonly #place: string
  readonly #deltaPlace: string
  #hasPart = false
  /** The room was full: nothing follows, and the item is never done. */
  #isBroken = false

  constructor(kind: BlockKind, item: OutputItem, options: ItemEventsOptions) {
    const { events, output, room, sealedFor } = options
    this.kind = kind
    this.#sealedFor = sealedFor
    this.#output = output
    this.#room = room
    this.#rawInput = item.kind === 'custom_tool_call' ? new RawInput(room) : null
    this.#item = item
    this.#events = events
    this.#stream = Streams[item.kind]
    const place = this.#stream?.place ?? ''
    this.#place = `,"item_id":"${item.id}","output_index":${item.index}${place}`
    this.#deltaPlace = `${this.#place},"delta":`
  }

  begin(): Written {
    return this.#announce(Added, toItemJson(this.#item, 'in_progress', '""'))
  }

  add(text: string): Written {
    return this.#add(this.#rawInput?.push(text) ?? text)
  }

  /** A signature is valid only with the text that it signs. */
  sign(signature: string): string {
    if (this.#sealedFor === null) return ''
    const json = toText(this.#item.text.written())
    if (json.length + signature.length > MAX_SEALED_CHARS) return ''
    const text: unknown = JSON.parse(json)
    if (typeof text !== 'string') return ''
    return this.seal(sealReasoning(this.#sealedFor, { reasoningText: { text, signature } }))
  }

  /** Seals a word, unless it would be too long to be accepted back. */
  seal(word: string): string {
    const isKept = word.length <= MAX_SEALED_CHARS && this.#room.hold(heapBytesOf(word))
    if (isKept) this.#item.opaque = word
    return ''
  }

  end(how: 'whole' | 'cut'): Written {
    // A text tool's decoder may still hold text.
    this.#isBroken ||= this.#rawInput !== null && this.#room.isFull
    const rest = how === 'whole' ? this.#add(this.#rawInput?.end() ?? '') : ''
    if (how === 'whole' && !this.#isBroken) return glue(rest, this.finish('completed'))
    // Half a summary must not replace the conversation.
    if (this.#item.kind !== 'compaction')
      this.#output.add(toItemJson(this.#item, 'incomplete', this.#item.text.written()))
    return ''
  }

  finish(status: 'completed' | 'incomplete'): Written {
    const item = this.#item
    const text = item.text.written()
    const json = toItemJson(item, status, text)
    this.#output.keep(item.id, json)
    const before = this.#endText(text)
    return glue(before, this.#announce(Done, json))
  }

  #announce(head: EventHead, json: Written): Written {
    return this.#events.write(head, glue(`,"output_index":${this.#item.index},"item":`, json))
  }

  /** Adds text if there is room: text that cannot be repeated at the end is not sent. */
  #add(text: string): Written {
    this.#isBroken ||= !this.#item.text.add(text)
    if (this.#stream === null || text === '' || this.#isBroken || this.#events.isSilent) return ''
    const members = this.#deltaPlace + JSON.stringify(text) + this.#stream.extra
    if (this.#hasPart) return this.#events.write(this.#stream.delta, members)
    const before = this.#beginPart()
    return glue(before, this.#events.write(this.#stream.delta, members))
  }

  #beginPart(): Written {
    this.#hasPart = true
    const part = this.#stream?.part ?? null
    if (part === null) return ''
    return this.#events.write(part.added, glue(`${this.#place},"part":`, part.toJson('""')))
  }

  #endText(text: Written): Written {
    const stream = this.#stream
    if (stream === null || (stream.part !== null && !this.#hasPart)) return ''
    const { done, member, extra, part } = stream
    const { kind, calledName } = this.#item
    const named = kind === 'function_call' ? `,"name":${calledName}` : ''
    const ended = this.#events.write(done, glue(`${this.#place},"${member}":`, text, extra, named))
    if (part === null) return ended
    const ofPart = glue(`${this.#place},"part":`, part.toJson(text))
    return glue(ended, this.#events.write(part.done, ofPart))
  }
}

export function toSearchEvents(item: SearchItem, events: EventWriter): string {
  const { id, index, hasFailed, begun, json } = item
  const place = `,"item_id":"${id}","output_index":${index}`
  return (
    events.write(Added, `,"output_index":${index},"item":${begun}`) +
    SearchSteps.map((step) => events.write(step, place)).join('') +
    (hasFailed ? '' : events.write(SearchCompleted, place)) +
    events.write(Done, `,"output_index":${index},"item":${json}`)
  )
}

type EventHead = `event: ${string}`

export function toEventHead(type: string): EventHead {
  return `event: ${type}\ndata: {"type":"${type}","sequence_number":`
}

export class EventWriter {
  readonly isSilent: boolean
  #count = 0

  constructor(isStream: boolean) {
    this.isSilent = !isStream
  }

  /** `members`: JSON text that begins with a comma. */
  write(head: EventHead, members: string): string
  write(head: EventHead, members: Written): Written
  write(head: EventHead, members: Written): Written {
    if (this.isSilent) return ''
    const beginning = `${head}${this.#count++}`
    if (typeof members === 'string') return `${beginning}${members}}\n\n`
    return glue(beginning, members, '}\n\n')
  }
}
