import { isRegion, oidcUrl } from '../../kiro/wire/hosts.ts'
import { operatorError, GatewayError } from '../../shared/errors.ts'
import { type JsonObject, textMember } from '../../shared/json.ts'
import type { NewSignIn } from '../own-sign-in.ts'
import { type RenewedTokens, receivedTokens } from '../renew.ts'
import { isTokenText } from '../stored-credential.ts'
import {
  askService,
  incomplete,
  type ServiceQuestion,
  type ServiceRefusal,
  type SignInServiceOptions
} from './sign-in-service.ts'

export const BUILDER_ID = {
  startUrl: 'https://view.awsapps.com/start',
  region: 'us-east-1'
} as const

/** Our own name, not that of an AWS program (kiro-protocol §3.12). */
const CLIENT_NAME = 'kiro-gateway'
const SCOPES = ['completions', 'analysis', 'conversations'].map((what) => `codewhisperer:${what}`)
const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

const DEFAULT_INTERVAL_S = 5
const MAX_INTERVAL_S = 60
/** Added to the interval on `slow_down` (RFC 8628 §3.5). */
const SLOW_DOWN_S = 5
const DEFAULT_LIFE_S = 600
const MAX_LIFE_S = 3600

export interface DeviceLoginOptions extends SignInServiceOptions {
  readonly startUrl: string
  readonly region: string
  readonly onCode: (code: DeviceCode) => void
  readonly onProblem?: (problem: GatewayError | null) => void
}

export interface DeviceCode {
  readonly userCode: string
  /** Page with the code filled in. */
  readonly url: string
  readonly verificationUrl: string
  /** Epoch ms. */
  readonly expiresAt: number
}

/**
 * Signs in by device code (kiro-protocol §3.12). The result must be stored at once.
 * @throws {GatewayError} GW_LOGIN_DENIED, GW_LOGIN_EXPIRED, GW_UPSTREAM_AUTH, as `askService()`; the signal's reason
 */
export async function loginByDeviceCode(options: DeviceLoginOptions): Promise<NewSignIn> {
  const { startUrl, region, onCode } = options
  const client = await register(options)
  const device = await askForCode(client, options)
  onCode(device.code)
  const tokens = await awaitTokens(client, device, options)
  const isBuilderId = startUrl === BUILDER_ID.startUrl
  return {
    ...tokens,
    authMethod: isBuilderId ? 'builder-id' : 'IdC',
    provider: isBuilderId ? 'BuilderId' : 'Enterprise',
    region,
    startUrl,
    client
  }
}

/** Normalises a start URL copied from a browser. @throws {GatewayError} GW_CONFIG_INVALID unless https */
export function readStartUrl(text: string, setting: string): string {
  const url = URL.parse(text.trim())
  if (url?.protocol !== 'https:' || url.username !== '' || url.hostname === '') {
    throw operatorError(
      `${setting} is not the start URL of an organisation, such as https://d-1234567890.awsapps.com/start.`
    )
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
}

/** @throws {GatewayError} GW_CONFIG_INVALID */
export function readLoginRegion(text: string, setting: string): string {
  if (isRegion(text)) return text
  throw operatorError(`${setting} is not an AWS region such as us-east-1.`)
}

interface Device {
  readonly code: DeviceCode
  /** Secret: its holder gets the tokens. */
  readonly secret: string
  readonly intervalS: number
}

type Registration = NonNullable<NewSignIn['client']> & { readonly clientSecret: string }

async function register(options: DeviceLoginOptions): Promise<Registration> {
  const { startUrl } = options
  const answer = await ask('/client/register', options, [], {
    clientName: CLIENT_NAME,
    clientType: 'public',
    scopes: SCOPES,
    grantTypes: [DEVICE_GRANT, 'refresh_token'],
    issuerUrl: startUrl
  })
  const expiresAtS = Number(answer['clientSecretExpiresAt'])
  return {
    clientId: tokenMember(answer, 'clientId'),
    clientSecret: tokenMember(answer, 'clientSecret'),
    ...(expiresAtS > 0 && { secretExpiresAt: expiresAtS * 1000 })
  }
}

async function askForCode(client: Registration, options: DeviceLoginOptions): Promise<Device> {
  const { clientId, clientSecret } = client
  const { startUrl, clock } = options
  const answer = await ask('/device_authorization', options, [clientSecret], {
    clientId,
    clientSecret,
    startUrl
  })
  const userCode = textMember(answer, 'userCode') ?? incomplete('userCode')
  const verificationUrl = linkMember(answer, 'verificationUri') ?? incomplete('verificationUri')
  const lifeS = within(answer['expiresIn'], { default: DEFAULT_LIFE_S, max: MAX_LIFE_S })
  return {
    code: {
      userCode: userCode.slice(0, 64),
      verificationUrl,
      url: linkMember(answer, 'verificationUriComplete') ?? verificationUrl,
      expiresAt: clock.now() + lifeS * 1000
    },
    secret: tokenMember(answer, 'deviceCode'),
    intervalS: within(answer['interval'], { default: DEFAULT_INTERVAL_S, max: MAX_INTERVAL_S })
  }
}

/** Polls until there is an answer; a single failed call does not end the login. */
async function awaitTokens(
  client: Registration,
  device: Device,
  options: DeviceLoginOptions
): Promise<RenewedTokens> {
  const { clock, signal, onProblem } = options
  const { clientId, clientSecret } = client
  const question = oidcQuestion('/token', options, [clientSecret, device.secret], {
    clientId,
    clientSecret,
    grantType: DEVICE_GRANT,
    deviceCode: device.secret
  })
  let { intervalS } = device
  let problem: GatewayError | null = null
  let told: string | undefined
  let waitS = intervalS
  while (clock.now() + waitS * 1000 < device.code.expiresAt) {
    await clock.sleep(waitS * 1000, signal)
    signal.throwIfAborted()
    const outcome = await poll(question, options)
    if (outcome.name === 'signed-in') return outcome.tokens
    if (outcome.name === 'slow-down') intervalS += SLOW_DOWN_S
    const news: GatewayError | null = outcome.name === 'failed' ? outcome.error : null
    if (news?.message !== told) onProblem?.(news)
    told = news?.message
    problem = news
    waitS = Math.max(intervalS, news?.retryAfterS ?? 0)
  }
  throw expired(problem)
}

type PollOutcome =
  | { readonly name: 'signed-in'; readonly tokens: RenewedTokens }
  | { readonly name: 'pending' | 'slow-down' }
  | { readonly name: 'failed'; readonly error: GatewayError }

async function poll(question: ServiceQuestion, options: DeviceLoginOptions): Promise<PollOutcome> {
  const { signal } = options
  try {
    const answered = await askService(question, options)
    if (answered.name === 'refused') return outcomeOf(answered.refusal)
    return {
      name: 'signed-in',
      tokens: receivedTokens(answered.answer) ?? incomplete('accessToken')
    }
  } catch (cause) {
    signal.throwIfAborted()
    if (!(cause instanceof GatewayError) || isFinal(cause)) throw cause
    return { name: 'failed', error: cause }
  }
}

/** @throws {GatewayError} for a final refusal. */
function outcomeOf({ word, isPassing, error }: ServiceRefusal): PollOutcome {
  switch (word) {
    case 'authorizationpending':
      return { name: 'pending' }
    case 'slowdown':
      return { name: 'slow-down' }
    case 'expiredtoken':
      throw expired(null)
    case 'accessdenied':
      throw new GatewayError('GW_LOGIN_DENIED', undefined, { cause: error })
    default:
      if (!isPassing) throw error
      return { name: 'failed', error }
  }
}

function isFinal({ code }: GatewayError): boolean {
  return ['GW_LOGIN_DENIED', 'GW_LOGIN_EXPIRED', 'GW_UPSTREAM_AUTH', 'GW_DRAINING'].includes(code)
}

function expired(problem: GatewayError | null): GatewayError {
  const why = problem === null ? '' : ` The last check failed: ${problem.message}`
  return new GatewayError('GW_LOGIN_EXPIRED', undefined, {
    message: `The sign-in was not confirmed in time, and the code has expired.${why}`,
    cause: problem ?? undefined
  })
}

async function ask(
  path: '/client/register' | '/device_authorization',
  options: DeviceLoginOptions,
  secrets: readonly string[],
  body: Readonly<Record<string, unknown>>
): Promise<JsonObject> {
  const answered = await askService(oidcQuestion(path, options, secrets, body), options)
  if (answered.name === 'given') return answered.answer
  const { error, isPassing } = answered.refusal
  if (isPassing || options.startUrl === BUILDER_ID.startUrl) throw error
  // AWS does not tell a wrong address from a wrong region.
  throw error.with({
    message: `${error.message} Check the start URL (${options.startUrl}) and the region (${options.region}); ask your administrator for them.`
  })
}

function oidcQuestion(
  path: Parameters<typeof oidcUrl>[1],
  { region, upstream }: DeviceLoginOptions,
  secrets: readonly string[],
  body: Readonly<Record<string, unknown>>
): ServiceQuestion {
  return { url: oidcUrl(region, path, upstream), body, setting: 'KIRO_OIDC_URL', secrets }
}

function tokenMember(answer: JsonObject, name: string): string {
  const text = textMember(answer, name)
  return text !== null && isTokenText(text) ? text : incomplete(name)
}

/** Opened by people, so only https is accepted. */
function linkMember(answer: JsonObject, name: string): string | null {
  const url = URL.parse(textMember(answer, name) ?? '')
  return url?.protocol === 'https:' && url.username === '' ? url.href : null
}

function within(
  value: unknown,
  bounds: { readonly default: number; readonly max: number }
): number {
  const seconds = Number(value)
  return seconds > 0 ? Math.min(Math.max(seconds, 1), bounds.max) : bounds.default
}
