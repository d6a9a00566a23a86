import type { UpstreamEvent } from '../../kiro/wire/event.ts'
import type { EndReason } from './stream-part.ts'

/** With these an answer may be empty, and would be so again (kiro-protocol §5.11). */
const FINAL: ReadonlySet<string> = new Set([
  'MAX_TOKENS',
  'MODEL_CONTEXT_WINDOW_EXCEEDED',
  'CONTENT_FILTERED'
])

/**
 * End of an answer as signalled by the upstream. Metadata closes it, or metering behind the last of the content
 * (kiro-protocol §5.11). Metadata that gives no reason comes in pieces, and closes only what stands before it.
 */
export class Closing {
  readonly #isDue: boolean
  #hasContent = false
  #isClosed = false
  #isMetered = false
  #stopReason = ''

  /** `isDue`: the upstream closes whole answers. */
  constructor(isDue: boolean) {
    this.#isDue = isDue
  }

  /** `bytes`: what the model says with the event. */
  note(event: UpstreamEvent, bytes: number): void {
    if (event.type === 'metadata') {
      this.#isClosed = true
      this.#stopReason = event.stopReason ?? this.#stopReason
    } else if (event.type === 'metering') this.#isMetered = true
    else if (event.type === 'tool' || bytes > 0) {
      this.#hasContent = true
      this.#isMetered = false
      this.#isClosed &&= this.#stopReason !== ''
    }
  }

  get isSeen(): boolean {
    return this.#isClosed || this.#isMetered
  }

  /** Metering has come, and no content behind it. */
  get isMetered(): boolean {
    return this.#isMetered
  }

  /** An answer that ends now was cut. */
  get isMissing(): boolean {
    return this.#isDue && !this.isSeen
  }

  /** The model has said something. */
  get hasContent(): boolean {
    return this.#hasContent
  }

  /** Nothing has come that a client could use, nor a reason for that which would be the same the next time. */
  get isVoid(): boolean {
    if (this.#hasContent) return false
    return this.isSeen ? !FINAL.has(this.#stopReason.toUpperCase()) : this.#isDue
  }

  /** The upstream's word, `''` if it said none. */
  get stopReason(): string {
    return this.#stopReason
  }
}

/** Facts about an answer at its end. */
export interface EndSigns {
  readonly isStopped: boolean
  /** The rest did not come: whole calls may have had others beside them. */
  readonly isLost: boolean
  readonly hasToolCall: boolean
  /** Something is missing: the upstream's limit was met, or a call was dropped. */
  readonly isCutOff: boolean
  readonly isWindowFull: boolean
  /** The upstream's word, `''` if it said none. */
  readonly stopReason: string
}

const StopReasons = new Map<string, EndReason>([
  ['MODEL_CONTEXT_WINDOW_EXCEEDED', 'context'],
  ['MAX_TOKENS', 'length'],
  ['CONTENT_FILTERED', 'filter'],
  ['PAUSE_TURN', 'pause']
])

/**
 * Names the reason: where several hold, stop-sequence, tool, context, length, filter, stop, in this order. Unknown words of the
 * upstream are `stop`.
 */
export function toEndReason(signs: EndSigns): EndReason {
  if (signs.isStopped) return 'stop-sequence'
  if (signs.isLost) return 'length'
  if (signs.hasToolCall) return 'tool'
  const stated = StopReasons.get(signs.stopReason.toUpperCase()) ?? 'stop'
  if (signs.isWindowFull || stated === 'context') return 'context'
  return signs.isCutOff ? 'length' : stated
}
