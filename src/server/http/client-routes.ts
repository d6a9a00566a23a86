import type { ServerResponse } from 'node:http'
import { toErrorReply } from '../../dialects/dialect.ts'
import { GatewayError } from '../../shared/errors.ts'
import { answerEarly, type Patience } from '../turn/answer-early.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import { MAX_EXPORT_BYTES } from '../worker/telemetry-relay.ts'
import type { PassthroughKeys } from './passthrough-keys.ts'
import type { Route, RoutedRequest } from './router.ts'
import { readSmallBytes } from './small-body.ts'

export interface ClientRoutesOptions {
  readonly plane: Pick<DataPlane, 'current' | 'relay'>
  readonly keys: Pick<PassthroughKeys, 'isAccepted'>
}

const TELEMETRY_PATHS = ['/v1/metrics', '/v1/logs', '/v1/traces'] as const

/** Paths that Claude Code asks for, besides answers, where it is signed in to a gateway. */
export function clientRoutes(options: ClientRoutesOptions): readonly Route[] {
  const known =
    (serve: Route['serve']): Route['serve'] =>
    (routed) => {
      refuseUnknown(options, routed)
      return serve(routed)
    }
  return [
    {
      method: 'GET',
      path: '/managed/settings',
      serve: known((routed) => serveManaged(options, routed))
    },
    ...TELEMETRY_PATHS.map((path) => ({
      method: 'POST' as const,
      path,
      serve: known((routed) => serveExport(options, { ...routed, path }))
    }))
  ]
}

/** Any text may look like a Kiro key. @throws {GatewayError} GW_KEY_INVALID */
function refuseUnknown({ keys }: ClientRoutesOptions, { kiroKey }: RoutedRequest): void {
  if (kiroKey !== null && !keys.isAccepted(kiroKey)) throw new GatewayError('GW_KEY_INVALID')
}

/**
 * 304 only in answer to the client's own checksum: it counts one that it did not ask for as a failure. An asterisk,
 * with which other clients ask whether there are settings, is answered like no header.
 */
function serveManaged({ plane }: ClientRoutesOptions, routed: RoutedRequest): void {
  const { request, response, requestId } = routed
  const { managed } = plane.current.config
  if (managed === null) {
    const error = new GatewayError('GW_ROUTE_UNKNOWN', undefined, { message: NO_SETTINGS })
    return answerEarly(request, response, toErrorReply('anthropic-messages', error, requestId))
  }
  const { checksum, body } = managed
  const etag = `"${checksum}"`
  const asked = request.headers['if-none-match']?.split(',').map((one) => one.trim()) ?? []
  if (asked.includes(etag)) {
    response.writeHead(304, { etag }).end()
    return
  }
  const headers = { 'content-type': 'application/json; charset=utf-8', etag }
  answerEarly(request, response, { status: 200, headers, body })
}

const NO_SETTINGS = 'This gateway has no managed settings (MANAGED_SETTINGS_FILE).'

/** Longest time for an export, and most of one that is thrown away. */
const PATIENCE: Patience = { maxBytes: 8 * MAX_EXPORT_BYTES, timeoutMs: 10_000 }

/** OTLP has these two forms. */
const TYPES: ReadonlySet<string> = new Set(['application/json', 'application/x-protobuf'])
const ENCODINGS: ReadonlySet<string> = new Set(['gzip', 'deflate'])

async function serveExport(
  { plane: { relay } }: ClientRoutesOptions,
  { request, response, keyName, path }: RoutedRequest & { readonly path: string }
): Promise<void> {
  const { 'content-type': type = '', 'content-encoding': encoding, ...headers } = request.headers
  const contentType = type.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  const taken = { request, response, isJson: contentType !== 'application/x-protobuf' }
  const isUsable = TYPES.has(contentType) && (encoding === undefined || ENCODINGS.has(encoding))
  const declared = Number(headers['content-length'] ?? MAX_EXPORT_BYTES)
  const room = isUsable ? relay.admit(declared, keyName) : null
  if (room === null) return thank(taken)
  try {
    const { timeoutMs } = PATIENCE
    const body = await readSmallBytes(request, { maxBytes: declared, timeoutMs }).catch(unlessGone)
    thank(taken)
    if (body === null) return room[Symbol.dispose]()
    relay.forward({ path, contentType, contentEncoding: encoding ?? null, body }, room)
  } catch (cause) {
    room[Symbol.dispose]()
    throw cause
  }
}

/** An export that is too large or comes too slowly is dropped. */
function unlessGone(cause: unknown): null {
  if (cause instanceof GatewayError && cause.code !== 'GW_CLIENT_CLOSED') return null
  throw cause
}

interface Taken {
  readonly request: RoutedRequest['request']
  readonly response: ServerResponse
  readonly isJson: boolean
}

/** Says that everything was taken: an empty message, in the form that was sent. */
function thank({ request, response, isJson }: Taken): void {
  const headers = { 'content-type': isJson ? 'application/json' : 'application/x-protobuf' }
  answerEarly(request, response, { status: 200, headers, body: isJson ? '{}' : '' }, PATIENCE)
}
