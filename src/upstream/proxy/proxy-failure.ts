import { type ErrorCode, GatewayError } from '../../shared/errors.ts'
import { FailureKinds, findKind } from '../classify.ts'
import { ProxyRefusal, type RefusalKind } from './handshake.ts'
import { type Address, type Proxy, toAuthority } from './proxy.ts'

interface Advice {
  /** Refused credentials are not tried again or elsewhere: that may lock their account. */
  readonly code: ErrorCode
  /** Follows "The proxy". */
  readonly event: string
  /** `{setting}`: the setting that names the proxy. */
  readonly hint: string
}

const REFUSALS = {
  'credentials-missing': {
    code: 'GW_PROXY_REFUSED',
    event: 'requires a user and a password',
    hint: 'Put them into {setting}, as in http://user:password@host:port.'
  },
  'credentials-refused': {
    code: 'GW_PROXY_REFUSED',
    event: 'rejects the configured user and password',
    hint: 'Correct them in {setting}, with special characters percent-encoded.'
  },
  denied: {
    code: 'GW_UPSTREAM_CONNECT',
    event: 'refuses to connect to the upstream',
    hint: 'Allow its host there (the log has it), or change {setting}; NO_PROXY names hosts that need no proxy.'
  },
  unreachable: {
    code: 'GW_UPSTREAM_CONNECT',
    event: 'could not connect to the upstream',
    hint: 'Check the network behind the proxy, or change {setting}.'
  },
  'not-a-proxy': {
    code: 'GW_UPSTREAM_CONNECT',
    event: 'does not answer like a proxy of its kind',
    hint: 'Check scheme and port in {setting}: http://, https:// or socks5://.'
  }
} as const satisfies Record<RefusalKind, Advice>

const CLOSED: Advice = {
  code: 'GW_UPSTREAM_CONNECT',
  event: 'closed the connection before it reached the upstream',
  hint: 'Check scheme, port and the rules of the proxy in {setting}.'
}

export interface ProxyFailureContext {
  readonly proxy: Proxy
  readonly target: Address
}

/** Names the failure and the setting to change; addresses go only to the log, credentials nowhere. */
export function toProxyFailure(cause: unknown, context: ProxyFailureContext): unknown {
  if (cause instanceof ProxyRefusal) {
    return describe(REFUSALS[cause.code], { ...context, cause, fact: cause.message })
  }
  const found = findKind(cause, 'connecting')
  if (found === null) return cause
  const facts = { ...context, cause, fact: found.code }
  return describe(found.kind === 'reset' ? CLOSED : FailureKinds[found.kind], facts)
}

interface Facts extends ProxyFailureContext {
  readonly cause: unknown
  readonly fact: string
}

function describe(
  { code, event, hint }: Advice,
  { proxy, target, cause, fact }: Facts
): GatewayError {
  const authority = toAuthority(target)
  return new GatewayError(code, `proxy ${proxy.name} to ${authority}: ${fact}`, {
    message: `The proxy of ${proxy.setting} ${event} (${fact}). ${hint.replaceAll('{setting}', proxy.setting)}`,
    cause
  })
}
