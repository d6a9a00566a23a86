import { abortErrorOf, codeOf, type ErrorCode, GatewayError } from '../shared/errors.ts'

export type CallPhase = 'connecting' | 'sent' | 'headers' | 'answering'

export interface FailureContext {
  /** Any URL of the host; only its origin is used, and only in the log. */
  readonly url: string | URL
  readonly phase: CallPhase
  /** Asked first, since a vanished client is not a failure of the upstream. */
  readonly clientSignal?: AbortSignal
  /** Setting that names the host, for advice; default `KIRO_API_URL`. */
  readonly setting?: string | undefined
}

const MAX_CAUSES = 20

/**
 * Turns errors of undici, Node and OpenSSL into ours, and is alone in looking at them. The host goes to the
 * log only.
 */
export function classifyFailure(cause: unknown, context: FailureContext): GatewayError {
  const { clientSignal, phase } = context
  if (clientSignal?.aborted === true) return abortErrorOf(clientSignal)
  const ours = flattenCauses(cause).find((error) => error instanceof GatewayError)
  if (ours !== undefined) return ours
  const found = findKind(cause, phase)
  if (found !== null) return describe(found, cause, context)
  return new GatewayError('GW_INTERNAL', `unknown failure of an upstream call (${phase})`, {
    cause
  })
}

export function findKind(
  cause: unknown,
  phase: CallPhase
): { readonly kind: FailureKind; readonly code: string } | null {
  for (const error of flattenCauses(cause)) {
    const code = codeOf(error)
    const kind = kindOf(error, code, phase)
    if (kind !== null) return { kind, code }
  }
  return null
}

const UNREACHED: readonly ErrorCode[] = [
  'GW_UPSTREAM_DNS',
  'GW_UPSTREAM_CONNECT',
  'GW_UPSTREAM_CONNECT_TIMEOUT',
  'GW_UPSTREAM_TLS'
]

/** The upstream was not reached: another host may be tried (kiro-protocol §1.2). */
export function isConnectFailure({ code }: Pick<GatewayError, 'code'>): boolean {
  return UNREACHED.includes(code)
}

const LOST: readonly ErrorCode[] = [
  'GW_UPSTREAM_RESET',
  'GW_UPSTREAM_STATUS',
  'GW_UPSTREAM_TLS',
  'GW_STREAM_TRUNCATED',
  'GW_FRAME_CORRUPT'
]

/** The rest of an answer was lost. Only for a call that was answering. */
export function isLoss(error: GatewayError): boolean {
  return LOST.includes(error.code)
}

function flattenCauses(cause: unknown): readonly Error[] {
  const found: Error[] = []
  const queue: unknown[] = [cause]
  while (queue.length > 0 && found.length < MAX_CAUSES) {
    const next = queue.shift()
    if (!(next instanceof Error) || found.includes(next)) continue
    found.push(next)
    queue.push(next.cause)
    if (next instanceof AggregateError) queue.push(...next.errors)
  }
  return found
}

function kindOf(error: Error, code: string, phase: CallPhase): FailureKind | null {
  if (error.name === 'TimeoutError' || code === 'ETIMEDOUT') return timeoutOf(phase, code)
  if (error.name === 'HTTPParserError') return 'not-http' // undici gives it no code
  const kind = kindOfCode(code)
  // If Node has only the general code, OpenSSL's name is in the message.
  if (
    kind === 'tls' &&
    /wrong version number|packet length too long|http request/i.test(error.message)
  ) {
    return phase === 'connecting' ? 'not-tls' : 'broken-tls'
  }
  return phase === 'connecting' || kind === null ? kind : (OF_OPEN_CONNECTION[kind] ?? kind)
}

/** A failure that looks like a connect but happened on an open connection: the request may have arrived. */
const OF_OPEN_CONNECTION: Readonly<Partial<Record<FailureKind, FailureKind>>> = {
  dns: 'reset',
  refused: 'reset',
  unreachable: 'reset',
  exhausted: 'reset',
  'connect-timeout': 'reset',
  tls: 'broken-tls',
  certificate: 'broken-tls'
}

/** `AbortSignal.timeout()` is our deadline; ETIMEDOUT after the handshake is a vanished peer. */
function timeoutOf(phase: CallPhase, code: string): FailureKind {
  if (phase === 'connecting') return 'connect-timeout'
  if (code === 'ETIMEDOUT') return 'reset'
  return phase === 'sent' ? 'headers-timeout' : 'idle-timeout'
}

const PHASE_NAMES = {
  connecting: 'while connecting',
  sent: 'while waiting for the answer',
  headers: 'while reading the answer',
  answering: 'while reading the answer'
} as const satisfies Record<CallPhase, string>

function describe(
  { kind, code }: { readonly kind: FailureKind; readonly code: string },
  cause: unknown,
  context: FailureContext
): GatewayError {
  const entry = FailureKinds[kind]
  const { origin } = new URL(context.url)
  const where = [code, PHASE_NAMES[context.phase]].filter((part) => part !== '').join(', ')
  const hint = entry.hint.replace('{setting}', context.setting ?? 'KIRO_API_URL')
  return new GatewayError(entry.code, `${kind} ${where} ${origin}`, {
    message: `The upstream ${entry.event} (${where}). ${hint}`,
    cause
  })
}

export type FailureKind =
  | 'dns'
  | 'refused'
  | 'unreachable'
  | 'exhausted'
  | 'connect-timeout'
  | 'tls'
  | 'not-tls'
  | 'certificate'
  | 'reset'
  | 'broken-tls'
  | 'not-http'
  | 'headers-timeout'
  | 'idle-timeout'

interface KindEntry {
  readonly code: ErrorCode
  /** Follows "The upstream" or "The proxy". */
  readonly event: string
  /** `{setting}`: the setting that names the host. */
  readonly hint: string
}

export const FailureKinds = {
  dns: {
    code: 'GW_UPSTREAM_DNS',
    event: 'could not be resolved',
    hint: 'Check the DNS of this machine or container (DNS_SERVERS), and {setting}.'
  },
  refused: {
    code: 'GW_UPSTREAM_CONNECT',
    event: 'refused the connection',
    hint: 'Nothing listens there: check host and port in {setting}.'
  },
  unreachable: {
    code: 'GW_UPSTREAM_CONNECT',
    event: 'cannot be reached',
    hint: 'Check the network, VPN and firewall of this machine.'
  },
  exhausted: {
    code: 'GW_UPSTREAM_CONNECT',
    event: 'could not be called because this process has reached its limit of open sockets',
    hint: 'Raise the limit of open files (ulimit -n) or lower HTTP_MAX_CONNECTIONS.'
  },
  'connect-timeout': {
    code: 'GW_UPSTREAM_CONNECT_TIMEOUT',
    event: 'did not accept the connection in time',
    hint: 'Check the network and firewall, or raise HTTP_CONNECT_TIMEOUT.'
  },
  tls: {
    code: 'GW_UPSTREAM_TLS',
    event: 'failed the TLS handshake',
    hint: 'Check {setting} and any proxy that inspects TLS.'
  },
  'not-tls': {
    code: 'GW_UPSTREAM_TLS',
    event: 'does not speak TLS',
    hint: 'Use http:// instead of https:// in {setting} if that is intended.'
  },
  certificate: {
    code: 'GW_UPSTREAM_TLS',
    event: 'presented an untrusted certificate',
    hint: 'Behind a proxy that inspects TLS, set NODE_EXTRA_CA_CERTS to its CA. Also check the clock.'
  },
  reset: {
    code: 'GW_UPSTREAM_RESET',
    event: 'closed the connection before its answer was complete',
    hint: 'If it happens often, a proxy, VPN or firewall on the way may be cutting connections.'
  },
  'broken-tls': {
    code: 'GW_UPSTREAM_RESET',
    event: 'ended the TLS connection before its answer was complete',
    hint: 'Check any proxy, VPN or firewall that inspects TLS, and whether {setting} requires a client certificate.'
  },
  'not-http': {
    code: 'GW_UPSTREAM_STATUS',
    event: 'answered with bytes that are not HTTP',
    hint: 'Check {setting}: a TLS port needs https://, and the port must be one of an HTTP server.'
  },
  'headers-timeout': {
    code: 'GW_UPSTREAM_HEADERS_TIMEOUT',
    event: 'did not start to answer in time',
    hint: 'Long conversations take longer to start: raise FIRST_TOKEN_TIMEOUT.'
  },
  'idle-timeout': {
    code: 'GW_UPSTREAM_IDLE_TIMEOUT',
    event: 'stopped sending in the middle of its answer',
    hint: 'Raise STREAMING_READ_TIMEOUT if such pauses are normal.'
  }
} as const satisfies Record<FailureKind, KindEntry>

const KIND_OF_CODE: Readonly<Record<string, FailureKind>> = {
  ENOTFOUND: 'dns',
  EAI_AGAIN: 'dns',
  EAI_FAIL: 'dns',
  EAI_NODATA: 'dns',
  EAI_NONAME: 'dns',
  ENODATA: 'dns',
  ESERVFAIL: 'dns',
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETUNREACH: 'unreachable',
  ENETDOWN: 'unreachable',
  EACCES: 'unreachable',
  EPERM: 'unreachable',
  EADDRNOTAVAIL: 'exhausted',
  EMFILE: 'exhausted',
  ENFILE: 'exhausted',
  UND_ERR_CONNECT_TIMEOUT: 'connect-timeout',
  EPROTO: 'tls',
  ERR_SSL_WRONG_VERSION_NUMBER: 'not-tls',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'not-tls',
  ERR_SSL_HTTP_REQUEST: 'not-tls',
  ERR_TLS_CERT_ALTNAME_INVALID: 'certificate',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'certificate',
  SELF_SIGNED_CERT_IN_CHAIN: 'certificate',
  HOSTNAME_MISMATCH: 'certificate',
  INVALID_CA: 'certificate',
  INVALID_PURPOSE: 'certificate',
  PATH_LENGTH_EXCEEDED: 'certificate',
  ECONNRESET: 'reset',
  ECONNABORTED: 'reset',
  EPIPE: 'reset',
  UND_ERR_SOCKET: 'reset',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'reset',
  ERR_STREAM_PREMATURE_CLOSE: 'reset',
  UND_ERR_HEADERS_OVERFLOW: 'not-http',
  UND_ERR_HEADERS_TIMEOUT: 'headers-timeout',
  UND_ERR_BODY_TIMEOUT: 'idle-timeout'
}

const KIND_OF_PREFIX: readonly (readonly [string, FailureKind])[] = [
  ['CERT_', 'certificate'],
  ['UNABLE_TO_', 'certificate'],
  ['CRL_', 'certificate'],
  ['ERR_SSL_', 'tls'],
  ['ERR_TLS_', 'tls'],
  ['HPE_', 'not-http']
]

export function kindOfCode(code: string): FailureKind | null {
  const kind = Object.hasOwn(KIND_OF_CODE, code) ? KIND_OF_CODE[code] : undefined
  return kind ?? KIND_OF_PREFIX.find(([prefix]) => code.startsWith(prefix))?.[1] ?? null
}
