import type { StreamPart } from '../dialects/stream-part.ts'
import type { GatewayError } from '../shared/errors.ts'

/** What fills a sink: one call to the upstream. */
export interface AnswerSource {
  /** Stops reading from the upstream. */
  pause(): void
  resume(): void
}

/**
 * Where an answer goes: as a stream of events or, collected, as one JSON body.
 *
 * The sink alone knows when its client reads too slowly. It stops the call that fills it until the client has read,
 * and whatever else has something to push waits for `whenDrained()` first.
 */
export interface AnswerSink {
  /** The client has been sent a status: failures must travel inside the answer from now on. */
  readonly hasBegun: boolean
  /** Parts come from this call from now on, instead of the one before. Pauses it at once while the sink is full. */
  attach(source: AnswerSource): void
  /** Resolves when the client has read enough for more to be pushed. Rejects with the signal's reason. */
  whenDrained(signal: AbortSignal): Promise<void>
  /** A request for this answer is on its way upstream: silence is now worth a heartbeat. */
  onSent(): void
  /** That request is over and there may be another: nobody is at work up there, so silence is what there is to tell. */
  onIdle(): void
  push(part: StreamPart): void
  /** One chunk of the upstream has been pushed: time to write. */
  flush(): void
  /** Everything was pushed, the `end` part last. */
  end(): void
  /** The answer broke; only after `hasBegun`. Ends it without the dialect's end marker. */
  fail(error: GatewayError): void
  /** Frees timers and listeners; call always, after `end`, `fail` or instead of them. */
  dispose(): void
}
