import inspector from 'node:inspector'
import { Pending, type ToPrimary } from '../../ipc/channel.ts'
import { BEAT_MS, LifeSigns } from '../../ipc/life-signs.ts'
import type { Answers, WorkerQuestion, ToWorker } from '../../ipc/messages.ts'
import { GatewayError } from '../../shared/errors.ts'

const PATIENCE = { ms: 5_000, firstMs: 0 } as const

/**
 * Watches the primary's event loop, and tells of ours. While that hangs, a worker goes on with its permits
 * and credential.
 */
export class PrimaryPulse {
  readonly #channel: ToPrimary
  readonly #signs = new LifeSigns<'primary'>()
  readonly #timer: NodeJS.Timeout
  readonly #questions = new Pending<Answers[keyof Answers]>()
  #silence = new AbortController()

  constructor(channel: ToPrimary) {
    this.#channel = channel
    this.#timer = setInterval(() => this.#beat(), BEAT_MS)
    this.#timer.unref()
  }

  /** Aborts when the primary falls silent; replaced when it is heard again. */
  get silence(): AbortSignal {
    return this.#silence.signal
  }

  get isSilent(): boolean {
    return this.#silence.signal.aborted
  }

  /** Any message counts. Silence counts from the first. */
  heard(): void {
    this.#signs.add('primary')
    if (this.isSilent) this.#silence = new AbortController()
  }

  /** @throws {GatewayError} GW_PRIMARY_SILENT; the signal's reason */
  ask<Q extends WorkerQuestion>(question: Q, signal?: AbortSignal): Promise<Answers[Q['type']]>
  ask(question: WorkerQuestion, signal?: AbortSignal): Promise<Answers[keyof Answers]> {
    const ends = signal === undefined ? this.silence : AbortSignal.any([signal, this.silence])
    return this.#questions.ask((requestId) => {
      this.#channel.send({ type: 'asked', requestId, question })
    }, ends)
  }

  onAnswer({ requestId, answer }: Extract<ToWorker, { readonly type: 'answered' }>): void {
    this.#questions.answer(requestId, answer)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #beat(): void {
    this.#signs.beat()
    if (!this.isSilent && this.#signs.silent(PATIENCE).length > 0) {
      this.#silence.abort(new GatewayError('GW_PRIMARY_SILENT', undefined, { retryAfterS: 5 }))
    }
    // Unread messages would pile up.
    if (!this.isSilent) {
      this.#channel.send({ type: 'worker.alive', isDebugged: inspector.url() !== undefined })
    }
  }
}
