import { glue, type Written } from '../output-text.ts'
import { type EventHead, type EventWriter, toEventHead } from './event-writer.ts'
import {
  type ItemKind,
  type OutputItem,
  type SearchItem,
  toBegunItem,
  toItemJson,
  toSummaryPart,
  toTextPart
} from './output-items.ts'

const Added = toEventHead('response.output_item.added')
const Done = toEventHead('response.output_item.done')
const SearchSteps = [
  toEventHead('response.web_search_call.in_progress'),
  toEventHead('response.web_search_call.searching')
] as const
const SearchCompleted = toEventHead('response.web_search_call.completed')

/** What tells how the text of one kind of item is streamed; `null` where it is not. */
interface TextEvents {
  readonly delta: EventHead
  readonly done: EventHead
  /** The member of `done` that has the whole text. */
  readonly member: string
  /** Members of every such event, and of `delta` and `done` only. */
  readonly place: string
  readonly extra: string
  /** The part that the text stands in. */
  readonly part: PartEvents | null
}

interface PartEvents {
  readonly added: EventHead
  readonly done: EventHead
  readonly toJson: (text: Written) => Written
}

const Streams: Readonly<Record<ItemKind, TextEvents | null>> = {
  message: {
    delta: toEventHead('response.output_text.delta'),
    done: toEventHead('response.output_text.done'),
    member: 'text',
    place: ',"content_index":0',
    extra: ',"logprobs":[]',
    part: {
      added: toEventHead('response.content_part.added'),
      done: toEventHead('response.content_part.done'),
      toJson: toTextPart
    }
  },
  reasoning: {
    delta: toEventHead('response.reasoning_summary_text.delta'),
    done: toEventHead('response.reasoning_summary_text.done'),
    member: 'text',
    place: ',"summary_index":0',
    extra: '',
    part: {
      added: toEventHead('response.reasoning_summary_part.added'),
      done: toEventHead('response.reasoning_summary_part.done'),
      toJson: toSummaryPart
    }
  },
  function_call: toCallEvents('function_call_arguments', 'arguments'),
  custom_tool_call: toCallEvents('custom_tool_call_input', 'input'),
  tool_search_call: null,
  compaction: null
}

function toCallEvents(name: string, member: string): TextEvents {
  return {
    delta: toEventHead(`response.${name}.delta`),
    done: toEventHead(`response.${name}.done`),
    member,
    place: '',
    extra: '',
    part: null
  }
}

/** Writes the events of one item, from its announcement to its end (kiro-protocol §10.3.3). */
export class ItemEvents {
  readonly item: OutputItem
  readonly #events: EventWriter
  readonly #stream: TextEvents | null
  /** What every event about the item says. */
  readonly #place: string
  /** A delta up to its text; made once per item (hot path). */
  readonly #deltaPlace: string
  readonly #deltaEnd: string
  #hasPart = false

  constructor(item: OutputItem, events: EventWriter) {
    this.item = item
    this.#events = events
    this.#stream = Streams[item.kind]
    const place = this.#stream?.place ?? ''
    this.#place = `,"item_id":"${item.id}","output_index":${item.index}${place}`
    this.#deltaPlace = `${this.#place},"delta":`
    this.#deltaEnd = this.#stream?.extra ?? ''
  }

  begin(): string {
    const { index } = this.item
    return this.#events.write(Added, `,"output_index":${index},"item":${toBegunItem(this.item)}`)
  }

  /** Nothing is sent that could not be repeated at the end, for want of room. */
  add(text: string): Written {
    const hasRoom = this.item.text.add(text)
    if (this.#stream === null || text === '' || !hasRoom) return ''
    const members = this.#deltaPlace + JSON.stringify(text) + this.#deltaEnd
    if (this.#hasPart) return this.#events.write(this.#stream.delta, members)
    const before = this.#beginPart()
    return glue(before, this.#events.write(this.#stream.delta, members))
  }

  /** `json` is the item as `toItemJson` has it. */
  end(status: 'completed' | 'incomplete'): { readonly events: Written; readonly json: Written } {
    const { item } = this
    const text = item.text.written()
    const json = toItemJson(item, status, text)
    const before = this.#endText(text)
    const done = glue(`,"output_index":${item.index},"item":`, json)
    return { events: glue(before, this.#events.write(Done, done)), json }
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
    const ended = this.#events.write(done, glue(`${this.#place},"${member}":`, text, extra))
    if (part === null) return ended
    const ofPart = glue(`${this.#place},"part":`, part.toJson(text))
    return glue(ended, this.#events.write(part.done, ofPart))
  }
}

/** All events of a web search, which is over when it is told of. */
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
