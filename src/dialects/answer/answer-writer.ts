import type { ReasoningContent } from '../../kiro/wire/payload.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { ReplyPlan } from '../plan/plan.ts'
import { type AnswerRoom, heapBytesOf, glue, OutputText, type Written } from './output-text.ts'
import type { EndPart, SearchPart, StreamPart } from './stream-part.ts'

/** Kind of a block: the model's words, its reasoning, or a call. */
export type BlockKind = 'text' | 'reasoning' | 'call'

/** One block of an answer in a client API's words. Every method returns text to send, `''` for nothing. */
export interface AnswerBlock {
  readonly kind: BlockKind
  begin(): Written
  add(text: string): Written
  /** Writes a signature that only the upstream can read, as the last thing in its block. */
  sign(opaque: string): Written
  /** `cut`: it broke off, and must not look like a whole one. */
  end(how: 'whole' | 'cut'): Written
}

/** The finished items of an answer as JSON text, by their ids, where clients may refer to them by these. */
export type KeptItems = ReadonlyMap<string, Written>

/** Id and time of an answer, made by the caller so that answers can be reproduced. */
export interface AnswerIdentity {
  /** With the dialect's prefix (`toAnswerId`). */
  readonly id: string
  /** Unix time in seconds. */
  readonly created: number
  /** Unix time in seconds, for when it ends. */
  readonly now: () => number
}

export interface WriterOptions<Own = unknown> {
  readonly plan: ReplyPlan<Own>
  readonly identity: AnswerIdentity
  /** For what is held. */
  readonly room: AnswerRoom
}

/**
 * Writes one answer as blocks, as a stream or in one piece; client APIs say how each block looks. At most one block is
 * open, and empty blocks are never opened. Methods return text to send, `''` for nothing.
 *
 * ```
 *   new ──first part──▶ open { [block begins · adds · ends]* } ──end──▶ ended
 * ```
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

  /** A failure after the first byte: the dialect's error event, never its end marker. */
  fail(error: Error): Written {
    const text = this.writeFailure(toTellable(error), this.#block, () => this.#start())
    this.#state = 'ended'
    return text
  }

  /** Keeps a silent stream alive; never counts as part of the answer. */
  heartbeat(): string {
    if (this.#state === 'ended') return ''
    return this.#state === 'new' ? SseComment : this.ping
  }

  /** The JSON text of the whole answer; call once, after the `end` part. */
  toJson(): Written {
    if (this.#ended === null) throw new Error('The answer has not ended')
    return this.writeWhole(this.#ended)
  }

  /** The finished items, where clients may refer to them. */
  get keptItems(): KeptItems {
    return NothingKept
  }

  /** Keeps a stream alive that has begun. */
  protected get ping(): string {
    return SseComment
  }

  /** Writes the beginning, before all blocks. */
  protected start(): Written {
    return ''
  }

  protected abstract open(kind: 'text' | 'reasoning'): AnswerBlock

  protected abstract openCall(id: string, name: string): AnswerBlock

  /** Reasoning that only the upstream can read. */
  protected redacted(_content: ReasoningContent): Written {
    return ''
  }

  protected search(_part: SearchPart): Written {
    return ''
  }

  /** `last` is the block that is still open; `isCut`: a call broke off. */
  protected abstract writeEnd(end: EndPart, last: AnswerBlock | null, isCut: boolean): Written

  /** Never the end marker. `start` gives what stands before all blocks, unless it is out already. */
  protected abstract writeFailure(
    error: GatewayError,
    last: AnswerBlock | null,
    start: () => Written
  ): Written

  /** All of an answer in one piece that has ended. */
  protected abstract writeWhole(end: EndPart): Written

  #add(kind: 'text' | 'reasoning', text: string): Written {
    if (text === '') return ''
    if (this.#block?.kind === kind) return this.#block.add(text)
    const block = this.open(kind)
    return glue(this.#open(block), block.add(text))
  }

  /** Without text before it the block is just that. */
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

  /** Writes everything that must come before the next block. */
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
    // What there was no room for is missing, also where that showed after the reason was found.
    const isHalf = (this.#isCut && part.reason === 'tool') || this.room.isFull
    const end: EndPart = isHalf ? { type: 'end', reason: 'length', usage: part.usage } : part
    return glue(before, this.writeEnd(end, this.#block, this.#isCut))
  }
}

const NothingKept: KeptItems = new Map()

interface CollectedBlockOptions {
  readonly kind: BlockKind
  /** Blocks of the answer; some are there as a whole. */
  readonly blocks: (CollectedBlock | string)[]
  /** JSON text of the block up to its own text, which is a string of JSON unless it is `plain`. */
  readonly head: string
  readonly form?: 'json' | 'plain'
  readonly room: AnswerRoom
}

/** A block that is sent once all are there. */
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
    // A reader could not tell it from a whole one.
    if (how === 'cut') this.#options.blocks.pop()
    return ''
  }
}

/** Headers of every event-stream answer. Buffering proxies would hold events back, so they are told not to. */
export const SseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no'
} as const

/** A comment: keeps the connection alive and is invisible to every SSE parser, in any state. */
export const SseComment = ': ping\n\n'

/** A message without an event name; `json` must be one line, which JSON text without indentation is. */
export function toSseData(json: string): string {
  return `data: ${json}\n\n`
}

/** A message with an event name; `json` must be one line. */
export function toSseEvent(name: string, json: string): string {
  return `event: ${name}\ndata: ${json}\n\n`
}

/** Error format of one client API. */
export interface ErrorFormat {
  /** Headers that repeat the request's id. */
  readonly requestIdHeaders: readonly string[]
  /** The error's status, or the API's own where it has one. */
  toStatus(error: GatewayError): number
  /** The JSON text of the body; `requestId` is left out where it is `''`. */
  toBody(error: GatewayError, requestId: string): string
  /** Writes the error inside a stream: one SSE message. The stream's end marker must not follow it. */
  toEvent(error: GatewayError): string
}

/** Returns the error for a client: a foreign one becomes "the gateway failed". */
export function toTellable(error: Error): GatewayError {
  return error instanceof GatewayError ? error : new GatewayError('GW_INTERNAL')
}
