import {
  parseFaultBody,
  normalizeType,
  parseRetryAfter,
  redactText
} from '../../kiro/wire/fault.ts'
import type { HostOverrides } from '../../kiro/wire/hosts.ts'
import { type ErrorCode, GatewayError } from '../../shared/errors.ts'
import { type JsonObject, textMember } from '../../shared/json.ts'
import {
  type JsonCall,
  jsonObjectOf,
  type JsonResponse
} from '../../upstream/call/json-exchange.ts'
import { isConnectFailure } from '../../upstream/classify.ts'
import type { WallClock } from '../renew.ts'

export interface SignInServiceOptions {
  readonly call: JsonCall
  readonly upstream: HostOverrides & { readonly userAgent: string }
  readonly clock: Pick<WallClock, 'now' | 'sleep'>
  readonly signal: AbortSignal
}

export type ServiceAnswer =
  | { readonly name: 'given'; readonly answer: JsonObject }
  | { readonly name: 'refused'; readonly refusal: ServiceRefusal }

export interface ServiceRefusal {
  /** OAuth error in lower case without `_` and AWS's `Exception`, e.g. `accessdenied`; `''` if there is none. */
  readonly word: string
  /** The service, or something before it, is unavailable; says nothing about the question. */
  readonly isPassing: boolean
  /** Contains nothing that was sent. */
  readonly error: GatewayError
}

export interface ServiceQuestion {
  readonly url: string
  readonly body: Readonly<Record<string, unknown>>
  readonly setting: 'KIRO_AUTH_URL' | 'KIRO_OIDC_URL'
  readonly secrets: readonly string[]
}

const CALL_TIMEOUT_MS = 15_000
const MAX_SAID_CHARS = 300

/** @throws {GatewayError} if there is no answer, by kind of failure */
export async function askService(
  question: ServiceQuestion,
  options: SignInServiceOptions
): Promise<ServiceAnswer> {
  const { url, body, setting } = question
  const { call, upstream, signal } = options
  const response = await call(
    {
      method: 'POST',
      url,
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        'user-agent': upstream.userAgent
      },
      body: JSON.stringify(body),
      setting,
      timeoutMs: CALL_TIMEOUT_MS
    },
    signal
  ).catch((cause: unknown) => {
    throw withOwnAdvice(cause, question, upstream)
  })
  const answer = jsonObjectOf(response)
  if (response.status === 200 && answer !== null) return { name: 'given', answer }
  return { name: 'refused', refusal: refusalOf(response, question, options) }
}

/** The general advice names settings that only affect long answers. */
function withOwnAdvice(
  cause: unknown,
  { url, setting }: ServiceQuestion,
  { oidcUrl, authUrl }: HostOverrides
): unknown {
  if (!(cause instanceof GatewayError)) return cause
  const service = `The sign-in service at ${new URL(url).host}`
  if (cause.code === 'GW_UPSTREAM_DNS') {
    const isOwn = (setting === 'KIRO_OIDC_URL' ? oidcUrl : authUrl) !== null
    const also = isOwn ? ` and ${setting}` : ''
    const message = `${service} could not be resolved. Check that this machine is online, and its name servers (DNS_SERVERS)${also}.`
    return cause.with({ message })
  }
  if (isConnectFailure(cause)) {
    return cause.with({ message: cause.message.replace(/^The upstream/, service) })
  }
  const isLate = ['GW_UPSTREAM_HEADERS_TIMEOUT', 'GW_UPSTREAM_IDLE_TIMEOUT'].includes(cause.code)
  if (!isLate) return cause
  const message = `${service} did not answer in full within ${CALL_TIMEOUT_MS / 1000} seconds. Try again, or check the network and proxy settings (${setting}, VPN_PROXY_URL).`
  return cause.with({ message })
}

function refusalOf(
  response: JsonResponse,
  { secrets, setting }: ServiceQuestion,
  { clock }: SignInServiceOptions
): ServiceRefusal {
  const { status, headers, text } = response
  const fault = parseFaultBody(headers, text)
  const name = textMember(jsonObjectOf(response) ?? {}, 'error') ?? fault.type ?? ''
  const shownName = redactText(name, 100, secrets)
  const said = redactText(
    fault.form === 'json' ? (fault.message ?? '') : '',
    MAX_SAID_CHARS,
    secrets
  )
  const facts = [`HTTP ${status}`, shownName, said].filter((part) => part !== '').join(', ')
  const isPage = fault.form === 'html'
  const isPassing = status === 200 || status === 408 || status === 429 || status >= 500 || isPage
  const advice = isPage
    ? ' A firewall, CDN or proxy answered in its place. Try again, or use another network.'
    : status === 404 || status === 405
      ? ` Check ${setting} and the region.`
      : ''
  const retryAfterS = parseRetryAfter(headers['retry-after'] ?? null, clock.now())
  return {
    word: normalizeType(name).replaceAll('_', ''),
    isPassing,
    error: new GatewayError(codeFor(status, isPassing), `sign-in service: ${facts}`, {
      message: `The sign-in service refused the request (${facts}).${advice}`,
      ...(retryAfterS !== null && { retryAfterS })
    })
  }
}

function codeFor(status: number, isPassing: boolean): ErrorCode {
  if (status === 429) return 'GW_UPSTREAM_RATE_LIMITED'
  return isPassing ? 'GW_UPSTREAM_STATUS' : 'GW_UPSTREAM_AUTH'
}

/** @throws {GatewayError} GW_UPSTREAM_STATUS */
export function incomplete(member: string): never {
  throw new GatewayError('GW_UPSTREAM_STATUS', undefined, {
    message: `The sign-in service answered without "${member}".`
  })
}
