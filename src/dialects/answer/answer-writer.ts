import type { ReasoningContent } from '../../kiro/wire/payload.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { SummaryKeys } from '../../shared/sealed-summary.ts'
import type { ReplyPlan } from '../plan/plan.ts'
import { type AnswerRoom, heapBytesOf, OutputText } from './output-text.ts'
import type { EndPart, SearchPart, StreamPart } from './stream-part.ts'

/** Text to send, or its parts in order. Parts in bytes may be sent more than once. */
export type Written = string | readonly (string | Uint8Array)[]

export type BlockKind = 'text' | 'reasoning' | 'call'

/** One block of an answer in a client API's words. Methods return text to send, `''` for nothing. */
export interface AnswerBlock {
  readonly kind: BlockKind
  begin(): Written
  add(text: string): Written
  /** Writes a signature that only the upstream can read, last in its block. */
  sign(opaque: string): Written
  /** `cut`: the block broke off and must not look whole. */
  end(how: 'whole' | 'cut'): Written
}

/** Finished items of an answer as JSON text by id, for APIs whose clients may refer to them. */
export type KeptItems = ReadonlyMap<string, Written>

/** Id and clock of an answer, passed in so that answers can be reproduced. */
export interface AnswerIdentity {
  readonly id: string
  readonly created: number
  /** Unix time in seconds. */
  readonly now: () => number
}

export interface WriterOptions<Own = unknown> {
  readonly plan: ReplyPlan<Own>
  readonly identity: AnswerIdentity
  readonly room: AnswerRoom
  /** Needed by answers that are compactions. */
  readonly summaryKeys?: SummaryKeys
}

/**
 * Writes one answer as blocks, streamed or in one piece; client APIs say how each block looks. At most one block is
 * open, and empty blocks are never opened. Methods return text to send, `''` for nothing.
 *
 *   new ──first part──▶ open { [block begins · adds · ends]* } ──end──▶ ended
 */
export abstract class AnswerWriter<Own = unknown> {
  protected readonly plan: ReplyPlan<Own>
  protected readonly identity: AnswerIdentity
  protected readonly room: AnswerRoom
  #state: 'new' | 'open' | 'ended' = 'new'
  #block: AnswerBlock | null = null
  #isCut = false
  #ended: EndPart | null = null

  constructor({ plan, identity, room }: WriterOptions<Own>) {
    this.plan = plan
    this.identity = identity
    this.room = room
  }

  push(part: StreamPart): Written {
    switch (part.type) {
      case 'text':
        return this.#add('text', part.text)
      case 'reasoning':
        return this.#add('reasoning', part.text)
      case 'signature':
        return this.#sign(part.signature)
      case 'redacted':
        return glue(this.#next(), this.redacted(part.content))
      case 'tool-start':
        return this.#open(this.openCall(part.id, part.name))
      case 'tool-delta':
        return this.#block?.add(part.json) ?? ''
      case 'tool-end':
        if (part.isCut === true) this.#isCut = true
        return this.#close(part.isCut === true ? 'cut' : 'whole')
      case 'search':
        return glue(this.#next(), this.search(part))
      case 'end':
        return this.#end(part)
    }
    return ''
  }

  /** Writes a failure after the first byte: the dialect's error event, never its end marker. */
  fail(error: Error): Written {
    const text = this.writeFailure(toTellable(error), this.#block, () => this.#start())
    this.#state = 'ended'
    return text
  }

  heartbeat(): string {
    if (this.#state === 'ended') return ''
    return this.#state === 'new' ? SseComment : this.ping
  }

  toJson(): Written {
    if (this.#ended === null) throw new Error('The answer has not ended')
    return this.writeWhole(this.#ended)
  }

  get keptItems(): KeptItems {
    return NothingKept
  }

  /** JSON text of the answer for storing, without its items; `null` for APIs that store none. */
  get keptResponse(): Written | null {
    return null
  }

  protected get ping(): string {
    return SseComment
  }

  protected start(): Written {
    return ''
  }

  protected abstract open(kind: 'text' | 'reasoning'): AnswerBlock

  protected abstract openCall(id: string, name: string): AnswerBlock

  protected redacted(_content: ReasoningContent): Written {
    return ''
  }

  protected search(_part: SearchPart): Written {
    return ''
  }

  protected abstract writeEnd(end: EndPart, last: AnswerBlock | null, isCut: boolean): Written

  /** Never writes the end marker. `start`: what precedes all blocks, or `''` if it is out already. */
  protected abstract writeFailure(
    error: GatewayError,
    last: AnswerBlock | null,
    start: () => Written
  ): Written

  protected abstract writeWhole(end: EndPart): Written

  #add(kind: 'text' | 'reasoning', text: string): Written {
    if (text === '') return ''
    if (this.#block?.kind === kind) return this.#block.add(text)
    const block = this.open(kind)
    return glue(this.#open(block), block.add(text))
  }

  #sign(opaque: string): Written {
    const isOpen = this.#block?.kind === 'reasoning'
    const before = isOpen ? '' : this.#open(this.open('reasoning'))
    return glue(before, this.#block?.sign(opaque) ?? '', this.#close('whole'))
  }

  #open(block: AnswerBlock): Written {
    const before = this.#next()
    this.#block = block
    return glue(before, block.begin())
  }

  #next(): Written {
    return glue(this.#start(), this.#close('whole'))
  }

  #start(): Written {
    if (this.#state !== 'new') return ''
    this.#state = 'open'
    return this.start()
  }

  #close(how: 'whole' | 'cut'): Written {
    const block = this.#block
    this.#block = null
    return block?.end(how) ?? ''
  }

  #end(part: EndPart): Written {
    const before = this.#start()
    this.#state = 'ended'
    this.#ended = part
    // The room may have filled up after the reason was decided.
    const isHalf = (this.#isCut && part.reason === 'tool') || this.room.isFull
    const end: EndPart = isHalf ? { type: 'end', reason: 'length', usage: part.usage } : part
    return glue(before, this.writeEnd(end, this.#block, this.#isCut))
  }
}

const NothingKept: KeptItems = new Map()

interface CollectedBlockOptions {
  readonly kind: BlockKind
  /** Strings are blocks that came whole. */
  readonly blocks: (CollectedBlock | string)[]
  /** JSON text of the block up to its text, which is written as a JSON string unless it is `plain`. */
  readonly head: string
  readonly form?: 'json' | 'plain'
  readonly room: AnswerRoom
}

export class CollectedBlock implements AnswerBlock {
  readonly kind: BlockKind
  readonly head: string
  readonly text: OutputText
  readonly #options: CollectedBlockOptions
  signature = ''

  constructor(options: CollectedBlockOptions) {
    const { kind, head, room, form } = options
    this.kind = kind
    this.head = head
    this.text = new OutputText(room, form)
    this.#options = options
    options.blocks.push(this)
  }

  begin(): string {
    return ''
  }

  add(text: string): string {
    this.text.add(text)
    return ''
  }

  sign(opaque: string): string {
    this.#options.room.hold(heapBytesOf(opaque))
    this.signature = opaque
    return ''
  }

  end(how: 'whole' | 'cut'): string {
    if (how === 'cut') this.#options.blocks.pop()
    return ''
  }
}

export function glue(...texts: readonly Written[]): Written {
  // Not `join()`, which copies what is long each time that it is glued into something else.
  let whole = ''
  for (const text of texts) {
    if (typeof text !== 'string') return glueParts(texts)
    whole += text
  }
  return whole
}

function glueParts(texts: readonly Written[]): Written {
  const parts: (string | Uint8Array)[] = []
  for (const text of texts) {
    if (typeof text !== 'string') for (const part of text) append(parts, part)
    else if (text !== '') append(parts, text)
  }
  return parts
}

export function glueWith(separator: string, texts: readonly Written[]): Written {
  return glue(...texts.flatMap((text, index) => (index === 0 ? [text] : [separator, text])))
}

export function byteLengthOf(written: Written): number {
  if (typeof written === 'string') return Buffer.byteLength(written)
  let bytes = 0
  for (const part of written) {
    bytes += typeof part === 'string' ? Buffer.byteLength(part) : part.byteLength
  }
  return bytes
}

/** Joins into one string; only for short texts. */
export function toText(written: Written): string {
  return typeof written === 'string' ? written : toBytes(written).toString()
}

export function toBytes(written: Written): Buffer {
  if (typeof written === 'string') return Buffer.from(written)
  return Buffer.concat(written.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
}

function append(parts: (string | Uint8Array)[], part: string | Uint8Array): void {
  const last = parts.at(-1)
  if (typeof part === 'string' && typeof last === 'string') parts[parts.length - 1] = last + part
  else parts.push(part)
}

/** Headers of event streams; `x-accel-buffering` keeps proxies from holding events back. */
export const SseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no'
} as const

/** Invisible to every SSE parser in any state; keeps the connection alive. */
export const SseComment = ': ping\n\n'

export function toSseData(json: string): string {
  return `data: ${json}\n\n`
}

export function toSseEvent(name: string, json: string): string {
  return `event: ${name}\ndata: ${json}\n\n`
}

export interface ErrorFormat {
  readonly requestIdHeaders: readonly string[]
  toStatus(error: GatewayError): number
  /** Headers beyond the usual ones. */
  toHeaders?(error: GatewayError): Readonly<Record<string, string>>
  toBody(error: GatewayError, requestId: string): string
  /** Writes the error as one SSE message. The stream's end marker must not follow it. */
  toEvent(error: GatewayError): string
}

export function toTellable(error: Error): GatewayError {
  return error instanceof GatewayError ? error : new GatewayError('GW_INTERNAL')
}
