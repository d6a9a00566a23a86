import { type ErrorCode, GatewayError } from '../shared/errors.ts'
import { FailureKinds, type FailureKind, kindOfCode } from './failure-codes.ts'

/** How far a call had come when it failed. */
export type CallPhase = 'connect' | 'headers' | 'body'

export interface FailureContext {
  /** Any URL of the host that was called. Only its origin is told, and only to the log: it may be a private one. */
  readonly url: string | URL
  readonly phase: CallPhase
  /** Aborts when the client is gone; asked first, since a vanished client is no upstream failure. */
  readonly clientSignal?: AbortSignal
  /** The setting that names the host, for the advice; `KIRO_API_URL` if left out. */
  readonly setting?: string
}

/** Chains of causes are short; only a cycle or an attack is longer. */
const MAX_CAUSES = 20

/**
 * Turns whatever undici, Node or OpenSSL throw into one of our errors, whose message names phase and what to change,
 * and whose detail the host. The one place where foreign errors of upstream calls are looked at.
 */
export function classifyFailure(cause: unknown, context: FailureContext): GatewayError {
  const { clientSignal, phase } = context
  if (clientSignal?.aborted === true) return ofAbort(clientSignal.reason, cause)
  const ours = flattenCauses(cause).find((error) => error instanceof GatewayError)
  if (ours !== undefined) return ours
  const found = findKind(cause, phase)
  if (found !== null) return describe(found.kind, found.code, { cause, context })
  return new GatewayError('GW_INTERNAL', `unknown failure of an upstream call (${phase})`, {
    cause
  })
}

/** The kind of a failure and the foreign code that told it; `null` if there is nothing to go by. */
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

/** The upstream was never reached, so another host may be tried (kiro-protocol §1.2). */
export function isConnectFailure(error: GatewayError): boolean {
  return UNREACHED.includes(error.code)
}

/** Deadlines abort too, with an error of ours as the reason. */
function ofAbort(reason: unknown, cause: unknown): GatewayError {
  return reason instanceof GatewayError
    ? reason
    : new GatewayError('GW_CLIENT_CLOSED', undefined, { cause })
}

/** The error, its causes and the members of aggregates, outermost first. */
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

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : ''
}

function kindOf(error: Error, code: string, phase: CallPhase): FailureKind | null {
  if (error.name === 'TimeoutError' || code === 'ETIMEDOUT') return timeoutOf(phase, code)
  if (error.name === 'HTTPParserError') return 'not-http' // undici gives it no code
  const kind = kindOfCode(code)
  // OpenSSL's own name of the failure is in the message where Node has only the general code.
  if (
    kind === 'tls' &&
    /wrong version number|packet length too long|http request/i.test(error.message)
  ) {
    return 'not-tls'
  }
  return kind
}

/** `AbortSignal.timeout()` means our deadline; ETIMEDOUT after the handshake is a peer that is gone. */
function timeoutOf(phase: CallPhase, code: string): FailureKind {
  if (phase === 'connect') return 'connect-timeout'
  if (code === 'ETIMEDOUT') return 'reset'
  return phase === 'headers' ? 'headers-timeout' : 'idle-timeout'
}

const PHASE_NAMES = {
  connect: 'while connecting',
  headers: 'while waiting for the answer',
  body: 'while reading the answer'
} as const satisfies Record<CallPhase, string>

interface Failure {
  readonly cause: unknown
  readonly context: FailureContext
}

function describe(kind: FailureKind, code: string, { cause, context }: Failure): GatewayError {
  const entry = FailureKinds[kind]
  const { origin } = new URL(context.url)
  const where = [code, PHASE_NAMES[context.phase]].filter((part) => part !== '').join(', ')
  const hint = entry.hint.replace('{setting}', context.setting ?? 'KIRO_API_URL')
  return new GatewayError(entry.code, `${kind} ${where} ${origin}`, {
    message: `The upstream ${entry.event} (${where}). ${hint}`,
    cause
  })
}
