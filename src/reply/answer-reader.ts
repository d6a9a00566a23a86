import type { PartReader } from '../dialects/answer/part-reader.ts'
import type { StreamPart } from '../dialects/answer/stream-part.ts'
import { type Frame, FrameDecoder, payloadBytesOf } from '../frames/frame-decoder.ts'
import {
  isStrange,
  parseUpstreamEvent,
  plainTextOf,
  type UpstreamEvent
} from '../kiro/wire/event.ts'
import { faultOfException, type UpstreamFault } from '../kiro/wire/fault.ts'
import { isCapacityReason } from '../kiro/wire/fault-table.ts'
import { GatewayError } from '../shared/errors.ts'
import { outlineText } from '../shared/json.ts'

/** Part of the exception's name that ends an answer at the model's limit. */
const CUT_OFF = 'contentlengthexceeded'

/** Smaller frames need no reservation: each is gone before the next. */
const LARGE_FRAME_BYTES = 65_536
/** Bytes of memory per byte of a frame: as it came, parsed, and written out, at two bytes a character. */
const TEXT_COPIES = 6
/** Heap of an event for each object. Measured: an empty object 34 bytes, a member with a new name 76. */
const OBJECT_BYTES = 40
const MEMBER_BYTES = 80
const ARRAY_BYTES = 24
const COMMA_BYTES = 16

const MAX_STRANGE = 8
const MAX_NAME_CHARS = 100

export interface StrangeEvents {
  readonly count: number
  readonly names: readonly string[]
}

export interface MomentaryRoom {
  lend(bytes: number): void
}

const SMALL_FRAMES: MomentaryRoom = {
  lend: (bytes) => {
    if (bytes > LARGE_FRAME_BYTES) throw new GatewayError('GW_MEMORY_FULL', 'a large frame')
  }
}

/**
 * Upstream bytes → stream parts: frames are cut, typed and read.
 *
 *   empty ──frame──▶ opened ──▶ stopped: only the metering of the rest is read
 *                      │ once the model has said something:
 *                      ├─exception at the model's limit──▶ cut-off
 *                      └─no capacity any more────────────▶ lost
 */
export class AnswerReader {
  readonly #decoder: FrameDecoder
  #room: MomentaryRoom | null
  readonly #parts: PartReader
  #phase: 'empty' | 'opened' | 'stopped' | 'cut-off' | 'lost' = 'empty'
  #strangeCount = 0
  /** Bounded by MAX_STRANGE. */
  readonly #strangeNames = new Set<string>()

  /** `room` holds large frames. */
  constructor(parts: PartReader, room: MomentaryRoom | null = null) {
    this.#parts = parts
    this.#room = room
    this.#decoder = new FrameDecoder((bytes) => this.#room?.lend(bytes))
  }

  get strangeEvents(): StrangeEvents {
    return { count: this.#strangeCount, names: [...this.#strangeNames] }
  }

  /**
   * Passes parts on at once, so that those before an exception in the same chunk are not lost. After a
   * returned fault nothing more may be fed.
   * @throws {GatewayError} GW_FRAME_CORRUPT, GW_FRAME_TOO_LARGE; GW_MEMORY_FULL for a frame without room
   */
  feed(chunk: Uint8Array, onPart: (part: StreamPart) => void): UpstreamFault | 'stopped' | null {
    if (this.#isStopped) return 'stopped'
    let news: UpstreamFault | 'stopped' | null = null
    for (const frame of this.#decoder.feed(chunk)) {
      if (news === null) news = this.#read(frame, onPart)
      else this.#overhear(frame)
    }
    if (news === null) this.#decoder.throwIfFailed()
    return news
  }

  /** Leaves the rest to `overhear()`. False if too much of a frame is held for that. */
  stopListening(): boolean {
    if (this.#decoder.heldBytes > LARGE_FRAME_BYTES) return false
    this.#room?.lend(0)
    this.#room = SMALL_FRAMES
    return true
  }

  /** @throws {GatewayError} as `feed()`; GW_MEMORY_FULL for any large frame */
  overhear(chunk: Uint8Array): void {
    for (const frame of this.#decoder.feed(chunk)) this.#overhear(frame)
    this.#decoder.throwIfFailed()
  }

  #read(frame: Frame, onPart: (part: StreamPart) => void): UpstreamFault | 'stopped' | null {
    if (this.#phase === 'empty') this.#phase = 'opened'
    const text = plainTextOf(frame)
    if (text === null) return this.#readEvent(frame, onPart)
    return text === '' ? null : this.#push({ type: 'text', text }, onPart)
  }

  #readEvent(frame: Frame, onPart: (part: StreamPart) => void): UpstreamFault | 'stopped' | null {
    const bytes = payloadBytesOf(frame)
    const isLarge = bytes > LARGE_FRAME_BYTES
    if (isLarge) {
      turnShare.spend(bytes) // the last of its chunks is small beside what is read now
      this.#room?.lend(this.#decoder.heldBytes + heapBytesOf(frame))
    }
    const event = parseUpstreamEvent(frame)
    if (event.type === 'exception') {
      // An exception without content means that the request was too long; it can be asked again.
      const end = this.#parts.hasContent ? endOf(event) : null
      if (end === null) return faultOfException(event)
      this.#phase = end
      return 'stopped'
    }
    const news = this.#push(event, onPart)
    if (isLarge) this.#room?.lend(this.#decoder.heldBytes)
    return news
  }

  #push(event: UpstreamEvent, onPart: (part: StreamPart) => void): 'stopped' | null {
    if (event.type === 'ignored') this.#noteStrange(event.eventType)
    else for (const part of this.#parts.push(event)) onPart(part)
    if (!this.#parts.isStopped) return null
    this.#phase = 'stopped'
    return 'stopped'
  }

  /** Reads the metering of a frame behind the client's answer; ignores faults. */
  #overhear(frame: Frame): void {
    if (payloadBytesOf(frame) > LARGE_FRAME_BYTES) return
    try {
      this.#parts.overhear(parseUpstreamEvent(frame))
    } catch (cause) {
      if (!(cause instanceof GatewayError)) throw cause
    }
  }

  /**
   * @throws {GatewayError} GW_STREAM_TRUNCATED inside a frame; GW_UPSTREAM_RESET without any;
   * GW_UPSTREAM_OVERLOADED without content
   */
  end(onPart: (part: StreamPart) => void): void {
    if (!this.#isStopped) this.#decoder.end()
    if (this.#phase === 'empty')
      throw new GatewayError('GW_UPSTREAM_RESET', 'an answer of no bytes')
    if (this.#parts.isVoid) {
      const message = 'The upstream sent an empty answer.'
      throw new GatewayError('GW_UPSTREAM_OVERLOADED', 'an answer of nothing', { message })
    }
    const isCutOff = this.#phase === 'cut-off'
    const isLost = this.#phase === 'lost'
    const parts =
      isCutOff || isLost ? this.#parts.cutOff(isLost ? 'lost' : 'limit') : this.#parts.end()
    for (const part of parts) onPart(part)
  }

  /** Ends an answer whose rest was lost as cut off, unless only what follows an answer is missing. */
  lose(onPart: (part: StreamPart) => void): void {
    const parts = this.#parts.isClosed ? this.#parts.end() : this.#parts.cutOff('lost')
    this.#phase = 'lost'
    for (const part of parts) onPart(part)
  }

  #noteStrange(eventType: string): void {
    if (!isStrange(eventType)) return
    this.#strangeCount++
    const isKept = this.#strangeNames.size < MAX_STRANGE && eventType.length <= MAX_NAME_CHARS
    if (isKept) this.#strangeNames.add(eventType)
  }

  get #isStopped(): boolean {
    return this.#phase !== 'empty' && this.#phase !== 'opened'
  }
}

/** Returns how an exception ends an answer that is whole so far (kiro-protocol §5.8, §5.11). */
function endOf({
  name,
  reason
}: Extract<UpstreamEvent, { type: 'exception' }>): 'cut-off' | 'lost' | null {
  if (name.toLowerCase().includes(CUT_OFF)) return 'cut-off'
  return isCapacityReason(reason ?? '') ? 'lost' : null
}

function heapBytesOf(frame: Frame): number {
  const { bytes, payloadStart, payloadEnd } = frame
  const payload = bytes.subarray(payloadStart, payloadEnd)
  const { objects, arrays, members, commas } = outlineText(payload, Infinity)
  return (
    payload.byteLength * TEXT_COPIES +
    objects * OBJECT_BYTES +
    members * MEMBER_BYTES +
    arrays * ARRAY_BYTES +
    commas * COMMA_BYTES
  )
}

/**
 * Bytes per turn of the event loop. The system delivers up to 2 MiB per connection at once, and 128 KiB of
 * small frames take some three milliseconds.
 */
const TURN_BYTES = 131_072

/** Divides each turn of the event loop among the answers of a process. */
class TurnShare {
  #left = TURN_BYTES
  #isRefillDue = false
  /** Bounded by the answers under way. */
  readonly #waiting: (() => void)[] = []
  readonly #refill = (): void => {
    this.#isRefillDue = false
    this.#left = TURN_BYTES
    while (this.#left > 0) {
      const read = this.#waiting.shift()
      if (read === undefined) return
      read()
    }
  }

  /** False: `wait()` for another turn. */
  get hasRoom(): boolean {
    return this.#left > 0
  }

  spend(bytes: number): void {
    this.#left -= bytes
    if (this.#left > TURN_BYTES / 2 || this.#isRefillDue) return
    this.#isRefillDue = true
    setImmediate(this.#refill)
  }

  wait(read: () => void): void {
    this.#waiting.push(read)
  }
}

export const turnShare = new TurnShare()
