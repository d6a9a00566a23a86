import type { Channel } from '../ipc/channel.ts'
import type { CredentialNews, FromWorker, Problem, ToWorker } from '../ipc/messages.ts'
import { Pending } from '../ipc/pending.ts'
import type { CredentialSnapshot } from '../kiro/credential-snapshot.ts'
import { GatewayError } from '../shared/errors.ts'
import type { PrimaryPulse } from './primary-pulse.ts'

type News = CredentialNews<CredentialSnapshot>

/** The worker's view of the credential: what the primary last sent. The primary alone reads and refreshes it. */
export class Credentials {
  readonly #channel: Pick<Channel<ToWorker, FromWorker>, 'send'>
  readonly #pulse: Pick<PrimaryPulse, 'silence'>
  readonly #renewals = new Pending<News>()
  #news: News

  constructor(
    channel: Pick<Channel<ToWorker, FromWorker>, 'send'>,
    news: News,
    pulse: Pick<PrimaryPulse, 'silence'>
  ) {
    this.#channel = channel
    this.#pulse = pulse
    this.#news = news
  }

  /** @throws {GatewayError} why there is none, and what the operator has to do. */
  current(): CredentialSnapshot {
    return snapshotOf(this.#news)
  }

  /** Why there is none, or `null`. */
  get problem(): Problem | null {
    return this.#news.problem
  }

  /** Tells the primary that the upstream has suspended the account, so that nobody goes on asking. */
  reportSuspended(token: string, message: string): void {
    this.#channel.send({ type: 'credential.suspended', token, message })
  }

  onNews(news: News): void {
    this.#news = news
  }

  onRenewed(requestId: number, news: News): void {
    this.#news = news
    this.#renewals.answer(requestId, news)
  }

  /**
   * Reports a token that the upstream refused, and waits for another. Many may report the same one: the primary
   * refreshes once.
   *
   * @throws {GatewayError} GW_UPSTREAM_AUTH when there is no other; GW_PRIMARY_SILENT; the signal's reason.
   */
  async renew(refused: CredentialSnapshot, signal: AbortSignal): Promise<CredentialSnapshot> {
    const current = this.current()
    if (current.token !== refused.token) return current // somebody else was first
    const { token } = refused
    const news = await this.#renewals.ask(
      (requestId) => {
        this.#channel.send({ type: 'credential.refused', requestId, token })
      },
      AbortSignal.any([signal, this.#pulse.silence])
    )
    const snapshot = snapshotOf(news)
    if (snapshot.token === token) throw new GatewayError('GW_UPSTREAM_AUTH')
    return snapshot
  }
}

function snapshotOf({ snapshot, problem }: News): CredentialSnapshot {
  if (snapshot !== null) return snapshot
  throw new GatewayError(problem.code, undefined, { message: problem.message })
}
