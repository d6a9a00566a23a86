import type { CredentialNews, UsageNews } from '../../ipc/messages.ts'
import { type AccountUsage, parseAccountUsage } from '../../kiro/wire/account-usage.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import { faultOfResponse, toGatewayError, type UpstreamFault } from '../../kiro/wire/fault.ts'
import {
  bearerHeaders,
  type HostOverrides,
  managementUrl,
  profileArnFor
} from '../../kiro/wire/hosts.ts'
import { asGatewayError, GatewayError } from '../../shared/errors.ts'
import { type JsonCall, jsonObjectOf } from '../../upstream/call/json-exchange.ts'
import type { CredentialDesk } from './credential-desk.ts'

export interface UsageDeskOptions {
  readonly call: JsonCall
  readonly upstream: HostOverrides & { readonly userAgent: string }
  readonly credentials: Pick<CredentialDesk, 'news' | 'refused'>
  /** Milliseconds on a clock that never goes back. */
  readonly now: () => number
}

/** An answer this young is given again: dashboards ask every few seconds. */
const FRESH_MS = 15_000
const CALL_TIMEOUT_MS = 10_000

/** What the account has used, asked once for all who want to know at the same time. */
export class UsageDesk {
  readonly #options: UsageDeskOptions
  readonly #abort = new AbortController()
  #last: { readonly usage: AccountUsage; readonly at: number } | null = null
  #asking: Promise<UsageNews> | null = null

  constructor(options: UsageDeskOptions) {
    this.#options = options
  }

  /** Never rejects: a failure is news, too. */
  current(): Promise<UsageNews> {
    const last = this.#last
    if (last !== null && this.#options.now() - last.at < FRESH_MS) {
      return Promise.resolve({ usage: last.usage, problem: null })
    }
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null
    })
    return this.#asking
  }

  close(): void {
    this.#abort.abort(new GatewayError('GW_DRAINING'))
  }

  async #ask(): Promise<UsageNews> {
    try {
      const usage = await this.#fetch()
      this.#last = { usage, at: this.#options.now() }
      return { usage, problem: null }
    } catch (cause) {
      const { code, message } = asGatewayError(cause)
      return { usage: null, problem: { code, message } }
    }
  }

  async #fetch(): Promise<AccountUsage> {
    const { credentials } = this.#options
    const snapshot = snapshotOf(credentials.news())
    const answer = await this.#fetchWith(snapshot)
    if (!isFault(answer)) return answer
    if (!answer.isTokenRefused) throw toGatewayError(answer)
    await credentials.refused(snapshot.token)
    const again = await this.#fetchWith(snapshotOf(credentials.news()))
    if (isFault(again)) throw toGatewayError(again)
    return again
  }

  /** Some accounts are refused for the ARN that others are refused without (kiro-protocol §1.3, E6). */
  async #fetchWith(snapshot: CredentialSnapshot): Promise<AccountUsage | UpstreamFault> {
    const profileArn = profileArnFor(snapshot, 'runtime')
    const answer = await this.#call(snapshot, profileArn)
    const mayBeArn = isFault(answer) && (answer.status === 400 || answer.status === 403)
    return mayBeArn && profileArn !== null && !answer.isTokenRefused
      ? this.#call(snapshot, null)
      : answer
  }

  async #call(
    snapshot: CredentialSnapshot,
    profileArn: string | null
  ): Promise<AccountUsage | UpstreamFault> {
    const { call, upstream } = this.#options
    const query = new URLSearchParams({
      origin: 'AI_EDITOR',
      resourceType: 'AGENTIC_REQUEST',
      ...(profileArn !== null && { profileArn })
    })
    const response = await call(
      {
        method: 'GET',
        url: `${managementUrl(snapshot, upstream)}/getUsageLimits?${query.toString()}`,
        headers: bearerHeaders(snapshot, upstream.userAgent),
        timeoutMs: CALL_TIMEOUT_MS
      },
      this.#abort.signal
    )
    const { status, headers, text } = response
    const answer = status === 200 ? jsonObjectOf(response) : null
    if (answer !== null) return parseAccountUsage(answer)
    return faultOfResponse({ status, headers, body: text, token: snapshot.token, now: Date.now() })
  }
}

function isFault(answer: AccountUsage | UpstreamFault): answer is UpstreamFault {
  return 'code' in answer
}

function snapshotOf({ snapshot, problem }: CredentialNews): CredentialSnapshot {
  if (snapshot !== null) return snapshot
  throw new GatewayError(problem.code, undefined, { message: problem.message })
}
