import type { UpstreamEvent } from '../../kiro/wire/event.ts'
import type { EndReason } from './stream-part.ts'

/** An answer with one of these reasons may be empty: asking again would change nothing (kiro-protocol §5.11). */
const FINAL: ReadonlySet<string> = new Set([
  'MAX_TOKENS',
  'MODEL_CONTEXT_WINDOW_EXCEEDED',
  'CONTENT_FILTERED'
])

/** Tells whether the upstream closed its answer (kiro-protocol §5.11). Metadata without a reason comes in pieces. */
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

  get isMetered(): boolean {
    return this.#isMetered
  }

  get isMissing(): boolean {
    return this.#isDue && !this.isSeen
  }

  get hasContent(): boolean {
    return this.#hasContent
  }

  /** Nothing usable has come, and no reason that asking again would repeat. */
  get isVoid(): boolean {
    if (this.#hasContent) return false
    return this.isSeen ? !FINAL.has(this.#stopReason.toUpperCase()) : this.#isDue
  }

  get stopReason(): string {
    return this.#stopReason
  }
}

export interface EndSigns {
  readonly isStopped: boolean
  /** The connection broke: other calls may be missing beside the whole ones. */
  readonly isLost: boolean
  readonly hasToolCall: boolean
  /** The upstream's limit was met, or a call was dropped. */
  readonly isCutOff: boolean
  readonly isWindowFull: boolean
  readonly stopReason: string
}

const StopReasons = new Map<string, EndReason>([
  ['MODEL_CONTEXT_WINDOW_EXCEEDED', 'context'],
  ['MAX_TOKENS', 'length'],
  ['CONTENT_FILTERED', 'filter'],
  ['PAUSE_TURN', 'pause']
])

/** Unknown words of the upstream are `stop`. */
export function toEndReason(signs: EndSigns): EndReason {
  if (signs.isStopped) return 'stop-sequence'
  if (signs.isLost) return 'length'
  if (signs.hasToolCall) return 'tool'
  const stated = StopReasons.get(signs.stopReason.toUpperCase()) ?? 'stop'
  if (signs.isWindowFull || stated === 'context') return 'context'
  return signs.isCutOff ? 'length' : stated
}
