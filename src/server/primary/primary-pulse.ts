import inspector from 'node:inspector'
import type { ToPrimary } from '../../ipc/channel.ts'
import { BEAT_MS, LifeSigns } from '../../ipc/life-signs.ts'
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
