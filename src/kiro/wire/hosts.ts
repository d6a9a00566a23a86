import type { CredentialSnapshot } from './credential-snapshot.ts'
import { setNewest } from '../../shared/newest.ts'

/** Replaces the upstream's hosts; may be plain http, with a path and `{region}`. */
export interface HostOverrides {
  readonly apiUrl: string | null
  readonly managementUrl: string | null
  readonly authUrl: string | null
  readonly oidcUrl: string | null
  readonly idpUrl?: string | null
}

/** `custom`: an override, treated like `runtime`. */
export type HostKind = 'runtime' | 'q' | 'custom'

export interface UpstreamHost {
  readonly url: string
  readonly kind: HostKind
}

const HostTemplate = {
  runtime: 'https://runtime.{region}.kiro.dev',
  q: 'https://q.{region}.amazonaws.com',
  management: 'https://management.{region}.kiro.dev',
  auth: 'https://prod.{region}.auth.desktop.kiro.dev',
  oidc: 'https://oidc.{region}.amazonaws.com'
} as const

/** Hosts in the order to try them (kiro-protocol §1.2). The throttle is per account: another host does not help. */
export function hostsFor(
  snapshot: Pick<CredentialSnapshot, 'apiRegion'>,
  overrides: HostOverrides
): readonly UpstreamHost[] {
  const { apiRegion } = snapshot
  const last = LastHosts.get(overrides)
  if (last?.apiRegion === apiRegion) return last.hosts
  const hosts = makeHosts(apiRegion, overrides)
  LastHosts.set(overrides, { apiRegion, hosts })
  return hosts
}

/** Saves half a dozen computations per request: settings change with SIGHUP, regions with an account. */
const LastHosts = new WeakMap<
  HostOverrides,
  { apiRegion: string; hosts: readonly UpstreamHost[] }
>()

function makeHosts(apiRegion: string, { apiUrl }: HostOverrides): readonly UpstreamHost[] {
  if (apiUrl !== null) return [{ url: fill(apiUrl, apiRegion), kind: 'custom' }]
  return [
    { url: fill(HostTemplate.runtime, apiRegion), kind: 'runtime' },
    { url: fill(HostTemplate.q, apiRegion), kind: 'q' }
  ]
}

export type RequestForm = 'path' | 'target'

/** `mcp`: the upstream's own tools (kiro-protocol §9.4). */
export type RuntimeOperation = 'generate' | 'mcp'

const OPERATIONS = {
  generate: { path: '/generateAssistantResponse', target: 'GenerateAssistantResponse' },
  mcp: { path: '/mcp', target: 'InvokeMCP' }
} as const satisfies Record<RuntimeOperation, Record<RequestForm, string>>

export function runtimeUrl(
  host: UpstreamHost,
  operation: RuntimeOperation,
  form: RequestForm
): string {
  return `${host.url}${form === 'path' ? OPERATIONS[operation].path : '/'}`
}

export function managementUrl(
  snapshot: Pick<CredentialSnapshot, 'apiRegion'>,
  overrides: HostOverrides
): string {
  const template = overrides.managementUrl ?? overrides.apiUrl ?? HostTemplate.management
  return fill(template, snapshot.apiRegion)
}

/** Address of desktop sign-in (kiro-protocol §3.12) and its renewal (§3.5). */
export function desktopUrl(
  ssoRegion: string,
  path: '/refreshToken' | '/oauth/token',
  overrides: HostOverrides
): string {
  return `${fill(overrides.authUrl ?? HostTemplate.auth, ssoRegion)}${path}`
}

/** Address of AWS SSO sign-in (kiro-protocol §3.12) and its renewal (§3.6). */
export function oidcUrl(
  ssoRegion: string,
  path: '/client/register' | '/device_authorization' | '/token',
  overrides: HostOverrides
): string {
  return `${fill(overrides.oidcUrl ?? HostTemplate.oidc, ssoRegion)}${path}`
}

/** `null`: none (kiro-protocol §3.9). An unwanted ARN gives 403, a missing one 400. */
export function profileArnFor(
  snapshot: Pick<CredentialSnapshot, 'authType' | 'profileArn'>,
  kind: HostKind
): string | null {
  const { authType, profileArn } = snapshot
  switch (authType) {
    case 'social':
      return profileArn ?? SharedProfileArn.social
    case 'builder-id':
      return kind === 'q' ? null : (profileArn ?? SharedProfileArn.builderId)
    case 'api-key':
      return null
    case 'idc':
    case 'external-idp':
      break
  }
  return profileArn
}

function fill(template: string, region: string): string {
  return template.replaceAll('{region}', region).replace(/\/+$/, '')
}

/** Regions known to have the API; others are used only if they are configured. */
const API_REGIONS: readonly string[] = ['us-east-1', 'eu-central-1']
/** GovCloud has accounts and hosts of its own. */
const GOV_REGIONS: readonly string[] = ['us-gov-west-1', 'us-gov-east-1']
const DEFAULT_REGION = 'us-east-1'
const REGION = /^[a-z]{2,4}(-[a-z0-9]+)+-[1-9]\d?$/
const MAX_REGION_CHARS = 63
const PROFILE_ARN = /^arn:aws(-[a-z]+)*:codewhisperer:[a-z0-9-]+:\d{12}:profile\/[A-Za-z0-9._-]+$/

/** See kiro-protocol §3.9. */
export const SharedProfileArn = {
  social: 'arn:aws:codewhisperer:us-east-1:699475941385:profile/EHGA3GRVQMUK',
  builderId: 'arn:aws:codewhisperer:us-east-1:638616132270:profile/AAAACCCCXXXX'
} as const

export interface RegionHints {
  readonly explicit: string | null
  readonly profileArn: string | null
  /** Says little about the API: most sign-in regions have no API host. */
  readonly ssoRegion: string | null
}

/** See kiro-protocol §1.4. */
export function resolveApiRegion({ explicit, profileArn, ssoRegion }: RegionHints): string {
  if (explicit !== null) return explicit
  const ofArn =
    profileArn === null || isSharedArn(profileArn) ? undefined : profileArn.split(':')[3]
  if (ofArn !== undefined && isRegion(ofArn)) return ofArn
  const isApiRegion = [...API_REGIONS, ...GOV_REGIONS].includes(ssoRegion ?? '')
  return ssoRegion !== null && isApiRegion ? ssoRegion : DEFAULT_REGION
}

/** Possible home regions: the given one, then the others of its partition, which tokens never leave. */
export function regionsToAsk(region: string): readonly string[] {
  const others = region.startsWith('us-gov-') ? GOV_REGIONS : API_REGIONS
  return [...new Set([region, ...others])]
}

/** Regions become parts of host names, so nothing else may pass. */
export function isRegion(text: string): boolean {
  return text.length <= MAX_REGION_CHARS && REGION.test(text)
}

export function isProfileArn(text: string): boolean {
  return PROFILE_ARN.test(text)
}

/** A shared ARN does not say where the account lives. */
function isSharedArn(arn: string): boolean {
  return arn === SharedProfileArn.social || arn === SharedProfileArn.builderId
}

export interface RuntimeCall {
  readonly operation: RuntimeOperation
  readonly form: RequestForm
  readonly userAgent: string
  readonly invocationId: string
  readonly attempt: number
  readonly maxAttempts: number
  readonly profileArn: string | null
}

/** See kiro-protocol §2. */
export function runtimeHeaders(
  snapshot: Pick<CredentialSnapshot, 'token' | 'tokenType'>,
  call: RuntimeCall
): Record<string, string> {
  const { operation, invocationId, attempt, maxAttempts, profileArn } = call
  if (call.form === 'target') {
    return {
      ...identityHeaders(snapshot, call.userAgent),
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': `KiroRuntimeService.${OPERATIONS[operation].target}`,
      'amz-sdk-invocation-id': invocationId,
      'amz-sdk-request': `attempt=${attempt}; max=${maxAttempts}`,
      ...(operation === 'generate' && {
        'x-amzn-kiro-client-attribution': 'unrecognized', // never the name of a product that is not ours
        'x-kiro-attempt': `${attempt};max=${maxAttempts}`
      })
    }
  }
  return {
    ...bearerHeaders(snapshot, call.userAgent),
    'content-type': 'application/json',
    accept: operation === 'mcp' ? 'application/json' : 'application/vnd.amazon.eventstream',
    'x-amzn-kiro-agent-mode': 'vibe',
    'amz-sdk-invocation-id': invocationId,
    'amz-sdk-request': `attempt=${attempt}; max=${maxAttempts}`,
    ...(profileArn === null ? {} : { 'x-amzn-kiro-profile-arn': profileArn })
  }
}

/** A key or an identity provider's token without `TokenType` is taken for an ordinary one and refused. */
export function bearerHeaders(
  snapshot: Pick<CredentialSnapshot, 'token' | 'tokenType'>,
  userAgent: string
): Record<string, string> {
  return { ...identityHeaders(snapshot, userAgent), 'x-amz-user-agent': userAgent }
}

function identityHeaders(
  snapshot: Pick<CredentialSnapshot, 'token' | 'tokenType'>,
  userAgent: string
): Record<string, string> {
  return {
    authorization: `Bearer ${snapshot.token}`,
    ...(snapshot.tokenType === 'none' ? {} : { tokentype: snapshot.tokenType }),
    'user-agent': userAgent
  }
}

export interface FormParty {
  readonly host: UpstreamHost
  readonly authType: CredentialSnapshot['authType']
  readonly operation: RuntimeOperation
}

export interface LearntForm extends Omit<FormParty, 'host'> {
  readonly host: string
  readonly form: RequestForm
}

/** `body`: form or content is wrong; `operation`: the host does not know the call. */
export type FormSign = 'body' | 'operation'

const OTHER_OPERATION = { generate: 'mcp', mcp: 'generate' } as const

const MAX_PARTIES = 64
/** Refusals in a row after which the upstream may have changed. */
const MAX_REFUSALS = 3

interface Experience {
  /** Tried first; `null` until one was accepted. */
  form: RequestForm | null
  readonly proven: Set<RequestForm>
  /** Refusals since the last answer. */
  refusals: number
}

/** Settings in force, which may change. */
interface CurrentForm {
  readonly config: { readonly upstream: { readonly requestForm: 'auto' | RequestForm } }
}

/** Remembers the form that the upstream takes (kiro-protocol §1.5). The primary spreads what a process finds out. */
export class RequestForms {
  readonly #current: CurrentForm
  readonly #tell: (learnt: LearntForm) => void
  /** Experiences by operation, kind of account and host. Bounded by MAX_PARTIES. */
  readonly #parties = new Map<string, Experience>()

  /** Calls `tell` if the second form is found to work. */
  constructor(current: CurrentForm, tell: (learnt: LearntForm) => void) {
    this.#current = current
    this.#tell = tell
  }

  /** The form to try first. A new operation begins with the others' form, but must prove it. */
  first(party: FormParty): RequestForm {
    if (party.host.kind === 'q') return 'path' // has never been seen to take the other one
    const setting = this.#current.config.upstream.requestForm
    if (setting !== 'auto') return setting
    const other = { ...party, operation: OTHER_OPERATION[party.operation] }
    return this.#experienceOf(party).form ?? this.#experienceOf(other).form ?? 'path'
  }

  /** Status 200: later refusals say nothing about this form. `isSecondTry`: all workers are told. */
  accepted(party: FormParty, form: RequestForm, isSecondTry: boolean): void {
    if (party.host.kind === 'q') return
    const experience = this.#experienceOf(party)
    experience.proven.add(form)
    experience.refusals = 0
    const before = experience.form
    if (isSecondTry || before === null) experience.form = form
    const { host, authType, operation } = party
    if (isSecondTry && before !== form) this.#tell({ host: host.url, authType, operation, form })
  }

  /** True if the refused request may be sent in the other form. Call once per refusal. */
  mayBeWrong(party: FormParty, form: RequestForm, sign: FormSign): boolean {
    if (party.host.kind === 'q' || this.#current.config.upstream.requestForm !== 'auto')
      return false
    if (sign === 'operation') return true
    const experience = this.#experienceOf(party)
    if (!experience.proven.has(form)) return true
    experience.refusals += 1
    if (experience.refusals >= MAX_REFUSALS) experience.proven.delete(form)
    return false
  }

  onLearnt({ host, authType, operation, form }: LearntForm): void {
    const experience = this.#find(`${operation} ${authType} ${host}`)
    experience.form = form
    experience.proven.add(form)
    experience.refusals = 0
  }

  #experienceOf({ operation, authType, host }: FormParty): Experience {
    return this.#find(`${operation} ${authType} ${host.url}`)
  }

  #find(name: string): Experience {
    const known = this.#parties.get(name)
    if (known !== undefined) return known
    const fresh: Experience = { form: null, proven: new Set(), refusals: 0 }
    setNewest(this.#parties, MAX_PARTIES, name, fresh)
    return fresh
  }
}
