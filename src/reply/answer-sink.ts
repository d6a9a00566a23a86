import type { StreamPart } from '../dialects/stream-part.ts'
import type { GatewayError } from '../shared/errors.ts'

/** Where an answer goes: as a stream of events or, collected, as one JSON body. */
export interface AnswerSink {
  /** The client has been sent a status: failures must travel inside the answer from now on. */
  readonly hasBegun: boolean
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
