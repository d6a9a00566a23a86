import { GatewayError } from '../../../shared/errors.ts'
import type { JsonResponse } from '../../../upstream/call/json-exchange.ts'
import { findKind, type FailureKind } from '../../../upstream/classify.ts'
import { ProxyRefusal } from '../../../upstream/proxy/handshake.ts'
import { addressOf, type Proxy } from '../../../upstream/proxy/proxy.ts'
import type { Certificate } from './certificate.ts'
import { type DoctorFinding, type FindingId, found } from './finding.ts'

export interface UsedHost {
  readonly role: string
  readonly url: URL
  readonly setting: string
  readonly isFallback: boolean
}

export interface Visit {
  readonly host: UsedHost
  readonly proxy: Proxy | null
  readonly ms: number
  readonly outcome: JsonResponse | GatewayError
  readonly certificate: Certificate | null
  /** Ms by which this machine's clock is ahead; `null` if unknown. */
  readonly aheadMs: number | null
}

export function judgeVisit(visit: Visit): DoctorFinding {
  const { host, outcome, ms, proxy } = visit
  const name = nameOf(host)
  if (outcome instanceof GatewayError) {
    const finding = isOfProxy(outcome) ? judgeProxy(visit, outcome) : judgeFailure(visit, outcome)
    return host.isFallback && finding.level === 'problem'
      ? { ...finding, level: 'warning', why: 'It is used only if the first host fails.' }
      : finding
  }
  const way = proxy === null ? '' : ` through ${proxy.name}`
  if (isWebPage(outcome)) {
    return found('host-web-page', `${name} answered HTTP ${outcome.status} with a web page${way}.`)
  }
  return found('host-reached', `${name} answered HTTP ${outcome.status} in ${ms} ms${way}.`)
}

function nameOf({ role, url }: UsedHost): string {
  return `${url.host} (${role})`
}

/** A web page comes from something in front of the service. */
function isWebPage({ headers, text }: Pick<JsonResponse, 'headers' | 'text'>): boolean {
  const isHtml = headers['content-type']?.includes('text/html') === true
  return isHtml || /^\s*<(?:!doctype|html)/i.test(text)
}

function isOfProxy({ detail }: GatewayError): boolean {
  return detail?.startsWith('proxy ') === true
}

const REFUSALS = {
  'credentials-missing': ['proxy-credentials', 'requires a user and a password'],
  'credentials-refused': ['proxy-credentials', 'rejects the configured user and password'],
  denied: ['proxy-denied', 'refuses to connect to'],
  unreachable: ['proxy-denied', 'could not connect to'],
  'not-a-proxy': ['proxy-broken', 'does not answer like a proxy of its kind']
} as const satisfies Record<ProxyRefusal['code'], readonly [FindingId, string]>

function judgeProxy({ host, proxy }: Visit, error: GatewayError): DoctorFinding {
  const { cause } = error
  const name = proxy === null ? 'The proxy' : `The proxy ${proxy.name} of ${proxy.setting}`
  if (cause instanceof ProxyRefusal) {
    const [id, event] = REFUSALS[cause.code]
    const target = id === 'proxy-denied' ? ` ${nameOf(host)}` : ''
    return found(id, `${name} ${event}${target} (${cause.message}).`)
  }
  const kind = findKind(cause, 'connecting')
  const id =
    kind?.kind === 'not-http' || kind?.kind === 'reset' ? 'proxy-broken' : 'proxy-unreachable'
  return found(id, `${name} cannot be used (${kind?.code ?? 'unknown'}).`)
}

const FAILURES = {
  dns: 'host-unknown',
  refused: 'host-refused',
  unreachable: 'host-unreachable',
  exhausted: 'files-too-few',
  'connect-timeout': 'host-silent',
  tls: 'tls-failed',
  'not-tls': 'tls-absent',
  certificate: 'tls-unknown-ca',
  reset: 'host-cut',
  'broken-tls': 'tls-failed',
  'not-http': 'host-no-http',
  'headers-timeout': 'host-mute',
  'idle-timeout': 'host-mute'
} as const satisfies Record<FailureKind, FindingId>

const EVENTS: Readonly<Partial<Record<FindingId, string>>> = {
  'host-unknown': 'is unknown to the name servers',
  'dns-silent': 'could not be resolved: the name servers do not answer',
  'host-refused': 'refused the connection',
  'host-unreachable': 'cannot be reached',
  'host-silent': 'did not accept the connection in time',
  'host-mute': 'accepted the connection but did not answer',
  'host-cut': 'closed the connection before it had answered',
  'host-no-http': 'answered with something that is not HTTP',
  'tls-failed': 'failed the TLS handshake',
  'tls-absent': 'does not speak TLS',
  'files-too-few': 'could not be called: this process has reached its limit of open sockets'
}

function judgeFailure({ host, certificate }: Visit, error: GatewayError): DoctorFinding {
  const kind = findKind(error.cause, phaseOf(error))
  if (kind === null) return found('host-unreachable', `${nameOf(host)}: ${error.message}`)
  const id = idOf(kind)
  const event = EVENTS[id] ?? describeCertificate(id, certificate)
  const what = `${nameOf(host)} ${event} (${kind.code}).`
  if (id === 'host-unknown') return found(id, what, { change: adviceForNames([host]) })
  const hint = isOwn(host) ? { change: `Check ${host.setting}. ${found(id, '').change ?? ''}` } : {}
  return found(id, what, hint)
}

/** Hosts that certainly exist, so that a wrong region is not the reason for unknown names. */
const USUAL_REGION = 'us-east-1'

function adviceForNames(hosts: readonly UsedHost[]): string {
  const [own, others] = [hosts.filter(isOwn), hosts.filter((host) => !isOwn(host))]
  const isUsual = others.every(({ url }) => url.host.includes(USUAL_REGION))
  const settings = [
    ...new Set(own.map(({ setting }) => setting)),
    ...(isUsual ? [] : ['the region (KIRO_REGION, KIRO_API_REGION)'])
  ]
  if (others.length === 0) return `Check ${settings.join(' and ')}: the name does not exist.`
  const also = settings.length === 0 ? '' : `, and ${settings.join(' and ')}`
  return `Check that this machine is online, and its name servers (/etc/resolv.conf, DNS_SERVERS)${also}.`
}

/** Several unresolved names are one finding: the machine is offline, or its name servers do not answer. */
export function judgeVisits(visits: readonly Visit[]): readonly DoctorFinding[] {
  const findings = visits.map(judgeVisit)
  const unknown = visits.filter((_visit, index) => findings[index]?.id === 'host-unknown')
  if (unknown.length < 2) return findings
  const hosts = unknown.map(({ host }) => host)
  const what = `The name servers know none of ${hosts.map(nameOf).join(', ')} (ENOTFOUND).`
  const together = found('host-unknown', what, { change: adviceForNames(hosts) })
  return [together, ...findings.filter(({ id }) => id !== 'host-unknown')]
}

/** Timeouts mean something else once the connection is open. */
function phaseOf({ code }: GatewayError): 'connecting' | 'sent' {
  return code === 'GW_UPSTREAM_HEADERS_TIMEOUT' ? 'sent' : 'connecting'
}

function idOf({ kind, code }: { readonly kind: FailureKind; readonly code: string }): FindingId {
  if (code === 'EAI_AGAIN' || code === 'ESERVFAIL') return 'dns-silent'
  if (kind !== 'certificate') return FAILURES[kind]
  if (code === 'CERT_HAS_EXPIRED') return 'tls-expired'
  if (code === 'CERT_NOT_YET_VALID') return 'tls-early'
  return code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH'
    ? 'tls-wrong-name'
    : 'tls-unknown-ca'
}

function describeCertificate(id: FindingId, certificate: Certificate | null): string {
  const facts =
    certificate === null
      ? ''
      : `: valid from ${certificate.validFrom} to ${certificate.validTo}, issued by ${certificate.issuer}`
  if (id === 'tls-expired') return `presents a certificate that has expired${facts}`
  if (id === 'tls-early') return `presents a certificate that is not valid yet${facts}`
  if (id === 'tls-wrong-name') return 'presents a certificate of another host'
  return `presents an untrusted certificate${facts}`
}

function isOwn({ url }: UsedHost): boolean {
  return !/\.(?:kiro\.dev|amazonaws\.com)$/.test(addressOf(url).host)
}
