import type { Channel } from '../ipc/channel.ts'
import type { CredentialNews, FromWorker, ToWorker } from '../ipc/messages.ts'
import type { CredentialSnapshot } from '../kiro/credential-snapshot.ts'
import { GatewayError } from '../shared/errors.ts'

type News = CredentialNews<CredentialSnapshot>

/** The worker's view of the credential: what the primary last sent. The primary alone reads and refreshes it. */
export class Credentials {
  readonly #channel: Pick<Channel<ToWorker, FromWorker>, 'send'>
  readonly #renewals = new Map<number, (news: News) => void>()
  #news: News
  #nextRequestId = 1

  constructor(channel: Pick<Channel<ToWorker, FromWorker>, 'send'>, news: News) {
    this.#channel = channel
    this.#news = news
  }

  /** @throws {GatewayError} GW_UPSTREAM_AUTH when there is none, with what the operator has to do. */
  current(): CredentialSnapshot {
    const { snapshot, problem } = this.#news
    if (snapshot === null) throw unusable(problem)
    return snapshot
  }

  get isUsable(): boolean {
    return this.#news.snapshot !== null
  }

  /** Why there is none, or `null`. */
  get problem(): string | null {
    return this.#news.problem
  }

  onNews(news: News): void {
    this.#news = news
  }

  onRenewed(requestId: number, news: News): void {
    this.#news = news
    this.#renewals.get(requestId)?.(news)
    this.#renewals.delete(requestId)
  }

  /**
   * Reports a token that the upstream refused, and waits for another. Many may report the same one: the primary
   * refreshes once.
   *
   * @throws {GatewayError} GW_UPSTREAM_AUTH when there is no other; the signal's reason.
   */
  async renew(refused: CredentialSnapshot, signal: AbortSignal): Promise<CredentialSnapshot> {
    const current = this.current()
    if (current.token !== refused.token) return current // somebody else was first
    const requestId = this.#nextRequestId++
    const { promise, resolve, reject } = Promise.withResolvers<News>()
    const onAbort = (): void => reject(signal.reason)
    this.#renewals.set(requestId, resolve)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#channel.send({ type: 'credential.refused', requestId, token: refused.token })
    try {
      signal.throwIfAborted()
      const { snapshot, problem } = await promise
      if (snapshot === null || snapshot.token === refused.token) throw unusable(problem)
      return snapshot
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#renewals.delete(requestId)
    }
  }
}

function unusable(problem: string | null): GatewayError {
  return new GatewayError(
    'GW_UPSTREAM_AUTH',
    undefined,
    problem === null ? {} : { message: problem }
  )
}
