import { type AccountUsage, parseAccountUsage } from '../../kiro/wire/account-usage.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import { faultOfResponse, type UpstreamFault } from '../../kiro/wire/fault.ts'
import {
  bearerHeaders,
  type HostOverrides,
  managementUrl,
  profileArnFor,
  regionsToAsk
} from '../../kiro/wire/hosts.ts'
import { type ModelFacts, type ModelPage, parseModelPage } from '../../kiro/models/models.ts'
import { type JsonCall, jsonObjectOf } from './json-exchange.ts'

export interface AccountCall {
  readonly call: JsonCall
  readonly upstream: HostOverrides & { readonly userAgent: string }
  readonly snapshot: CredentialSnapshot
  readonly signal: AbortSignal
}

const CALL_TIMEOUT_MS = 10_000
const MAX_PAGES = 20
/** All pages together; the longest known list, 30 models with their schemas, has 60 KB. */
const MAX_LIST_BYTES = 1024 * 1024
const MAX_MODELS = 500

/**
 * Some accounts are refused for the ARN that others are refused without (kiro-protocol §1.3, E6).
 * @throws {GatewayError} without an answer
 */
export async function askUsage(asked: AccountCall): Promise<AccountUsage | UpstreamFault> {
  const profileArn = profileArnFor(asked.snapshot, 'runtime')
  const answer = await askUsageWith(asked, profileArn)
  const mayBeArn = isFault(answer) && (answer.status === 400 || answer.status === 403)
  return mayBeArn && profileArn !== null && !answer.isTokenRefused
    ? askUsageWith(asked, null)
    : answer
}

export function isFault(answer: AccountUsage | UpstreamFault): answer is UpstreamFault {
  return 'code' in answer
}

async function askUsageWith(
  { call, upstream, snapshot, signal }: AccountCall,
  profileArn: string | null
): Promise<AccountUsage | UpstreamFault> {
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
    signal
  )
  const { status, headers, text } = response
  const answer = status === 200 ? jsonObjectOf(response) : null
  if (answer !== null) return parseAccountUsage(answer)
  return faultOfResponse({ status, headers, body: text, token: snapshot.token, now: Date.now() })
}

/** False if the operator set one host for all regions. */
export function hasOpenRegion(overrides: HostOverrides): boolean {
  const template = overrides.managementUrl ?? overrides.apiUrl
  return template === null || template.includes('{region}')
}

const AT_HOME: readonly number[] = [401, 402, 403]

export interface KeyRegion {
  readonly region: string
  readonly answer: AccountUsage | UpstreamFault
}

/**
 * Finds the region of an API key, which names none (kiro-protocol §1.4); `null` if one could not be asked,
 * or none knows the key.
 */
export async function findKeyRegion(asked: AccountCall): Promise<KeyRegion | null> {
  for (const region of regionsToAsk('us-east-1')) {
    try {
      const answer = await askUsage({
        ...asked,
        snapshot: { ...asked.snapshot, apiRegion: region }
      })
      if (!isFault(answer) || AT_HOME.includes(answer.status)) return { region, answer }
      if (answer.status === 429 || answer.status >= 500) return null
    } catch {
      return null // it is asked again later
    }
  }
  return null
}

export class ModelsRefused extends Error {
  readonly fault: UpstreamFault

  constructor(fault: UpstreamFault) {
    super(`the model list request returned status ${fault.status}`)
    this.fault = fault
  }
}

/**
 * @throws {ModelsRefused} if the upstream refuses the list
 * @throws {Error} without an answer, or with too many models
 */
export async function askModels(asked: AccountCall): Promise<readonly ModelFacts[]> {
  const models = new Map<string, ModelFacts>()
  let nextToken: string | null = null
  let leftBytes = MAX_LIST_BYTES
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = await askModelPage(asked, nextToken, leftBytes)
    const known = models.size
    for (const facts of answer.models) models.set(facts.id, facts)
    if (models.size > MAX_MODELS) throw new Error(`the list has more than ${MAX_MODELS} models`)
    ;({ nextToken } = answer)
    leftBytes -= answer.bytes
    if (nextToken === null || models.size === known) break // or it turns in a circle
  }
  if (models.size === 0) throw new Error('the list is empty')
  return [...models.values()]
}

async function askModelPage(
  { call, upstream, snapshot, signal }: AccountCall,
  nextToken: string | null,
  maxBytes: number
): Promise<ModelPage & { readonly bytes: number }> {
  const profileArn = profileArnFor(snapshot, 'runtime')
  const response = await call(
    {
      method: 'POST',
      url: `${managementUrl(snapshot, upstream)}/`,
      headers: {
        ...bearerHeaders(snapshot, upstream.userAgent),
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': 'AmazonCodeWhispererService.ListAvailableModels'
      },
      body: JSON.stringify({
        origin: 'AI_EDITOR',
        ...(profileArn !== null && { profileArn }),
        ...(nextToken !== null && { nextToken })
      }),
      timeoutMs: CALL_TIMEOUT_MS,
      maxBytes
    },
    signal
  )
  const { status, headers, text } = response
  if (status !== 200) {
    const { token } = snapshot
    throw new ModelsRefused(
      faultOfResponse({ status, headers, body: text, token, now: Date.now() })
    )
  }
  const bytes = Buffer.byteLength(text)
  const page = bytes > maxBytes ? null : jsonObjectOf(response)
  if (page === null) {
    throw new Error(`the model list is not a JSON object, or longer than ${MAX_LIST_BYTES} bytes`)
  }
  return { ...parseModelPage(page), bytes }
}
