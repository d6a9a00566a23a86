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

interface KindEntry {
  readonly code: ErrorCode
  /** Follows "The upstream" or "The proxy". */
  readonly event: string
  /** `{setting}`: the setting that names the host. */
  readonly hint: string
  /** Codes of errors of this kind; one that ends with `_` begins many. */
  readonly codes: readonly string[]
}

export const FailureKinds = {
  dns: {
    code: 'GW_UPSTREAM_DNS',
    event: 'could not be resolved',
    hint: 'Check the DNS of this machine or container (DNS_SERVERS), and {setting}.',
    codes: [
      'ENOTFOUND',
      'EAI_AGAIN',
      'EAI_FAIL',
      'EAI_NODATA',
      'EAI_NONAME',
      'ENODATA',
      'ESERVFAIL'
    ]
  },
  refused: {
    code: 'GW_UPSTREAM_CONNECT',
    event: 'refused the connection',
    hint: 'Nothing listens there: check host and port in {setting}.',
    codes: ['ECONNREFUSED']
  },
  unreachable: {
    code: 'GW_UPSTREAM_CONNECT',
    event: 'cannot be reached',
    hint: 'Check the network, VPN and firewall of this machine.',
    codes: ['EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN', 'EACCES', 'EPERM']
  },
  exhausted: {
    code: 'GW_UPSTREAM_CONNECT',
    event: 'could not be called because this process has reached its limit of open sockets',
    hint: 'Raise the limit of open files (ulimit -n) or lower HTTP_MAX_CONNECTIONS.',
    codes: ['EADDRNOTAVAIL', 'EMFILE', 'ENFILE']
  },
  'connect-timeout': {
    code: 'GW_UPSTREAM_CONNECT_TIMEOUT',
    event: 'did not accept the connection in time',
    hint: 'Check the network and firewall, or raise HTTP_CONNECT_TIMEOUT.',
    codes: ['UND_ERR_CONNECT_TIMEOUT']
  },
  tls: {
    code: 'GW_UPSTREAM_TLS',
    event: 'failed the TLS handshake',
    hint: 'Check {setting} and any proxy that inspects TLS.',
    codes: ['EPROTO', 'ERR_SSL_', 'ERR_TLS_']
  },
  'not-tls': {
    code: 'GW_UPSTREAM_TLS',
    event: 'does not speak TLS',
    hint: 'Use http:// instead of https:// in {setting} if that is intended.',
    codes: [
      'ERR_SSL_WRONG_VERSION_NUMBER',
      'ERR_SSL_PACKET_LENGTH_TOO_LONG',
      'ERR_SSL_HTTP_REQUEST'
    ]
  },
  certificate: {
    code: 'GW_UPSTREAM_TLS',
    event: 'presented an untrusted certificate',
    hint: 'Behind a proxy that inspects TLS, set NODE_EXTRA_CA_CERTS to its CA. Also check the clock.',
    codes: [
      'ERR_TLS_CERT_ALTNAME_INVALID',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'HOSTNAME_MISMATCH',
      'INVALID_CA',
      'INVALID_PURPOSE',
      'PATH_LENGTH_EXCEEDED',
      'CERT_',
      'UNABLE_TO_',
      'CRL_'
    ]
  },
  reset: {
    code: 'GW_UPSTREAM_RESET',
    event: 'closed the connection before its answer was complete',
    hint: 'If it happens often, a proxy, VPN or firewall on the way may be cutting connections.',
    codes: [
      'ECONNRESET',
      'ECONNABORTED',
      'EPIPE',
      'UND_ERR_SOCKET',
      'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
      'ERR_STREAM_PREMATURE_CLOSE'
    ]
  },
  'broken-tls': {
    code: 'GW_UPSTREAM_RESET',
    event: 'ended the TLS connection before its answer was complete',
    hint: 'Check any proxy, VPN or firewall that inspects TLS, and whether {setting} requires a client certificate.',
    codes: []
  },
  'not-http': {
    code: 'GW_UPSTREAM_STATUS',
    event: 'answered with bytes that are not HTTP',
    hint: 'Check {setting}: a TLS port needs https://, and the port must be one of an HTTP server.',
    codes: ['UND_ERR_HEADERS_OVERFLOW', 'HPE_']
  },
  'headers-timeout': {
    code: 'GW_UPSTREAM_HEADERS_TIMEOUT',
    event: 'did not start to answer in time',
    hint: 'Long conversations take longer to start: raise FIRST_TOKEN_TIMEOUT.',
    codes: ['UND_ERR_HEADERS_TIMEOUT']
  },
  'idle-timeout': {
    code: 'GW_UPSTREAM_IDLE_TIMEOUT',
    event: 'stopped sending in the middle of its answer',
    hint: 'Raise STREAMING_READ_TIMEOUT if such pauses are normal.',
    codes: ['UND_ERR_BODY_TIMEOUT']
  }
} as const satisfies Readonly<Record<string, KindEntry>>

export type FailureKind = keyof typeof FailureKinds

const KINDS = Object.keys(FailureKinds).filter((kind): kind is FailureKind => kind in FailureKinds)

const KIND_OF_CODE: ReadonlyMap<string, FailureKind> = new Map(
  KINDS.flatMap((kind) => FailureKinds[kind].codes.map((code) => [code, kind] as const))
)

function kindOfCode(code: string): FailureKind | null {
  const prefix = [...KIND_OF_CODE.keys()].find((one) => one.endsWith('_') && code.startsWith(one))
  return KIND_OF_CODE.get(code) ?? KIND_OF_CODE.get(prefix ?? '') ?? null
}
