import type { Config } from '../../config/settings.ts'
import { BUILT_IN_MODELS, findModel, versionOf } from '../../kiro/models/models.ts'
import { GatewayError } from '../../shared/errors.ts'
import { asJsonObject, type JsonObject, parseJsonObject, textMember } from '../../shared/json.ts'
import { findKind } from '../../upstream/classify.ts'
import { askGateway } from '../ask-gateway.ts'
import { UsageError } from '../command.ts'

export interface OfferedModel {
  readonly id: string
  readonly name: string
  /** Tokens; missing if the operator's name leads to no known model. */
  readonly contextWindow?: number
  readonly maxOutputTokens?: number
  readonly takesImages: boolean
  readonly thinks: boolean
}

export interface GatewayFacts {
  /** Without `/v1` and trailing slash. */
  readonly url: string
  readonly key: string
  /** Program and arguments that print a fresh key, for a sign-in at the gateway; missing if `key` stays good. */
  readonly keyCommand?: KeyCommand
  readonly models: readonly OfferedModel[]
  /** `null`: the client's own, or else the best. */
  readonly wishedModel: string | null
}

export type KeyCommand = readonly [program: string, ...args: string[]]

/** Some clients need a key even for a gateway without keys. */
export const NO_KEY = 'no-key-needed'

const TIMEOUT_MS = 10_000
const MAX_BYTES = 4 * 1024 * 1024

/** The given address, or that of the settings. @throws {UsageError} */
export function gatewayUrl(given: string | null, { server }: Config): string {
  if (given === null) {
    if (server.port === 0)
      throw new UsageError('SERVER_PORT is 0: give the address of the gateway with --url')
    const isAnywhere = server.host === '0.0.0.0' || server.host === '::'
    const host = isAnywhere ? '127.0.0.1' : server.host
    return `http://${host.includes(':') ? `[${host}]` : host}:${server.port}`
  }
  const url = URL.parse(given)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new UsageError('--url must be an http:// or https:// URL')
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new UsageError('--url must have no user, query or fragment; give the key with --key')
  }
  return (url.origin + url.pathname).replace(/\/+$/, '').replace(/\/v1$/, '')
}

export type ModelList =
  | { readonly name: 'listed'; readonly models: readonly OfferedModel[] }
  /** No answer, or only from a proxy. */
  | { readonly name: 'silent' }
  /** No authority that this machine trusts has signed its certificate. */
  | { readonly name: 'untrusted' }
  | { readonly name: 'stranger' }
  | { readonly name: 'refused' }

type Address = Pick<GatewayFacts, 'url' | 'key'>

/** Rejects only when `signal` aborts. */
export async function askForModels(address: Address, signal: AbortSignal): Promise<ModelList> {
  const answer = await get(address, '/v1/models?limit=1000', signal)
  if (answer.isUntrusted) return { name: 'untrusted' }
  const { status, body } = answer
  if (status === null || (status >= 502 && status <= 504)) return { name: 'silent' }
  if (status === 401 || status === 403) return { name: 'refused' }
  const data: readonly unknown[] =
    status === 200 && Array.isArray(body?.['data']) ? body['data'] : []
  const models = data.flatMap((model) => toModel(asJsonObject(model) ?? {}) ?? [])
  return models.length === 0 ? { name: 'stranger' } : { name: 'listed', models }
}

/** Checks an unlisted model at the gateway. @throws {GatewayError} GW_MODEL_UNKNOWN, in the gateway's words */
export async function ensureModel(
  address: Address,
  id: string,
  signal: AbortSignal
): Promise<void> {
  const { status, body } = await get(address, `/v1/models/${encodeURIComponent(id)}`, signal)
  if (status !== 404) return
  const message = textMember(asJsonObject(body?.['error']) ?? {}, 'message')
  throw new GatewayError('GW_MODEL_UNKNOWN', undefined, message === null ? {} : { message })
}

interface Answer {
  readonly status: number | null
  readonly body: JsonObject | null
  readonly isUntrusted: boolean
}

async function get({ url, key }: Address, path: string, signal: AbortSignal): Promise<Answer> {
  try {
    const headers = { 'anthropic-version': '2023-06-01' }
    const { status, text } = await askGateway(
      { url, key, signal },
      { path, timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES, headers }
    )
    return { status, body: parseJsonObject(text), isUntrusted: false }
  } catch (cause) {
    signal.throwIfAborted()
    return { status: null, body: null, isUntrusted: isUntrusted(cause) }
  }
}

/** Returns true if a call failed because of the certificate that was presented. */
export function isUntrusted(cause: unknown): boolean {
  return findKind(cause, 'connecting')?.kind === 'certificate'
}

/** The program and the client have to be told of a CA alike. */
export function untrustedNote(url: string): string {
  return `The certificate of ${url} is not trusted here. If its CA is your own, set NODE_EXTRA_CA_CERTS to the CA's file (PEM), here and for the client.`
}

function toModel(model: JsonObject): OfferedModel | null {
  const id = textMember(model, 'id')
  if (id === null) return null
  const capabilities = asJsonObject(model['capabilities']) ?? {}
  const [contextWindow, maxOutputTokens] = [model['max_input_tokens'], model['max_tokens']]
  return {
    id,
    name: textMember(model, 'display_name') ?? id,
    ...(typeof contextWindow === 'number' && { contextWindow }),
    ...(typeof maxOutputTokens === 'number' && { maxOutputTokens }),
    takesImages: asJsonObject(capabilities['image_input'])?.['supported'] !== false,
    thinks: asJsonObject(capabilities['thinking'])?.['supported'] === true
  }
}

export const FallbackModels: readonly OfferedModel[] = BUILT_IN_MODELS.map((facts) => ({
  id: facts.id,
  name: facts.name,
  contextWindow: facts.maxInputTokens,
  ...(facts.maxOutputTokens !== undefined && { maxOutputTokens: facts.maxOutputTokens }),
  takesImages: facts.takesImages,
  thinks: false
}))

/** The wished model, else the client's own, else the newest Sonnet. */
export function modelFor({ models, wishedModel }: GatewayFacts, current: unknown): OfferedModel {
  const wished = wishedModel ?? (typeof current === 'string' ? current : '')
  const found = findModel(models, wished)
  if (found !== undefined) return found
  if (wishedModel !== null)
    return { id: wishedModel, name: wishedModel, takesImages: true, thinks: false }
  const rankOf = ({ id }: OfferedModel): number => {
    const version = versionOf(id)
    return version?.family === 'claude-sonnet' ? version.rank : version === null ? -2 : -1
  }
  const [best] = models.toSorted((a, b) => rankOf(b) - rankOf(a))
  if (best === undefined) throw new GatewayError('GW_MODEL_UNKNOWN')
  return best
}
