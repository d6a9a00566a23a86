import { type Frame, payloadBytesOf, payloadTextOf } from '../../frames/frame-decoder.ts'
import { GatewayError } from '../../shared/errors.ts'
import { asJsonObject, type JsonObject, parseJsonObject } from '../../shared/json.ts'
import { isCapacityReason, mentionsCapacity } from './fault-table.ts'

/** One typed frame of an answer (kiro-protocol §5.3). Events without effect are `ignored` and counted by type. */
export type UpstreamEvent =
  | { readonly type: 'text'; readonly text: string; readonly modelId?: string }
  | {
      readonly type: 'reasoning'
      readonly text?: string
      readonly signature?: string
      readonly redacted?: string
    }
  | {
      readonly type: 'tool'
      readonly id: string
      readonly name: string
      /** A fragment of JSON text, or the whole arguments as an object. */
      readonly input?: string | Readonly<Record<string, unknown>>
      readonly stop: boolean
    }
  | {
      readonly type: 'metadata'
      readonly stopReason?: string
      readonly tokenUsage?: TokenUsage
      /** Some accounts get it here instead of in a `context-usage` event. */
      readonly contextUsagePercentage?: number
    }
  | { readonly type: 'context-usage'; readonly percentage: number }
  | { readonly type: 'metering'; readonly credits: number }
  | {
      readonly type: 'exception'
      /** `ThrottlingException`, without namespace; compare by §5.9. */
      readonly name: string
      readonly message: string
      readonly reason?: string
    }
  | { readonly type: 'ignored'; readonly eventType: string }

/** Counts of `metadataEvent`; members may be missing, later frames add to earlier ones. */
export interface TokenUsage {
  readonly uncachedInputTokens?: number
  readonly cacheReadInputTokens?: number
  readonly cacheWriteInputTokens?: number
  readonly outputTokens?: number
  readonly totalTokens?: number
}

export function isSignature(event: UpstreamEvent): boolean {
  return event.type === 'reasoning' && !event.text && !event.redacted
}

/** UTF-8 bytes that the model said. Arguments that come as an object are counted when they are written. */
export function saidBytesOf(event: UpstreamEvent): number {
  switch (event.type) {
    case 'text':
      return Buffer.byteLength(event.text)
    case 'reasoning': {
      const { text = '', signature = '', redacted = '' } = event
      return Buffer.byteLength(text) + signature.length + redacted.length
    }
    case 'tool':
      return typeof event.input === 'string' ? Buffer.byteLength(event.input) : 0
    case 'metadata':
    case 'context-usage':
    case 'metering':
    case 'exception':
    case 'ignored':
      break
  }
  return 0
}

/**
 * @throws {GatewayError} GW_FRAME_CORRUPT if an event that matters has no JSON object: skipping it would
 * lose text
 */
export function parseUpstreamEvent(frame: Frame): UpstreamEvent {
  const messageType = frame.headers[':message-type'] ?? ''
  // A missing message type means event (§5.2).
  if (messageType === 'event' || messageType === '') return parseEvent(frame)
  if (messageType === 'exception') return parseException(frame)
  if (messageType === 'error') return parseError(frame)
  return toLoss(frame) ?? { type: 'ignored', eventType: messageType }
}

/** Events that are not needed (kiro-protocol §5.3), or content without any. */
const NEEDLESS: ReadonlySet<string> = new Set([
  'initial-response',
  'messageMetadataEvent',
  'assistantResponseEvent',
  'codeEvent',
  'metricsEvent',
  'codeReferenceEvent',
  'citationEvent',
  'supplementaryWebLinksEvent',
  'followupPromptEvent',
  'toolResultEvent',
  'intentsEvent',
  'interactionComponentsEvent',
  'dryRunSucceedEvent',
  'binaryMetadataEvent',
  'binaryPayloadEvent'
])

export function isStrange(eventType: string): boolean {
  return !NEEDLESS.has(eventType)
}

function parseEvent(frame: Frame): UpstreamEvent {
  const eventType = frame.headers[':event-type'] ?? ''
  switch (eventType) {
    case 'assistantResponseEvent':
    case 'codeEvent':
      return toText(parsePayload(frame, eventType), eventType)
    case 'reasoningContentEvent':
      return toReasoning(parsePayload(frame, eventType))
    case 'toolUseEvent':
      return toTool(parsePayload(frame, eventType))
    case 'metadataEvent':
      return toMetadata(parsePayload(frame, eventType))
    case 'contextUsageEvent': {
      const percentage = asNumber(parsePayload(frame, eventType)['contextUsagePercentage'])
      if (percentage === undefined) return { type: 'ignored', eventType }
      return { type: 'context-usage', percentage }
    }
    case 'meteringEvent':
      return toMetering(parsePayload(frame, eventType), eventType)
    case 'invalidStateEvent':
      return toException('InvalidStateException', parsePayload(frame, eventType))
    default:
      return toLoss(frame) ?? { type: 'ignored', eventType }
  }
}

/** The account is not charged in other units (kiro-protocol §5.3). */
function toMetering(payload: JsonObject, eventType: string): UpstreamEvent {
  const { unit = 'credit', usage, amount } = payload
  const credits = asNumber(usage) ?? asNumber(amount)
  const isOfCredits = typeof unit === 'string' && /^credits?$/i.test(unit)
  if (!isOfCredits || credits === undefined) return { type: 'ignored', eventType }
  return { type: 'metering', credits }
}

const MAX_LOSS_BYTES = 4096

/**
 * Reads a lost capacity (kiro-protocol §5.11). Searches before parsing, since invalid JSON costs an
 * exception, and an upstream can send 8000 empty frames in one turn of the event loop.
 */
function toLoss(frame: Frame): UpstreamEvent | null {
  if (payloadBytesOf(frame) > MAX_LOSS_BYTES) return null
  const text = payloadTextOf(frame)
  const payload = mentionsCapacity(text) ? parseJsonObject(text) : null
  if (payload === null || !isCapacityReason(asText(payload['reason']) ?? '')) return null
  return toException('ServiceUnavailableException', payload)
}

/** Ignores empty text around tool calls, unless it names the model behind `auto`. */
function toText(payload: JsonObject, eventType: string): UpstreamEvent {
  const text = asText(payload['content']) ?? ''
  const modelId = asText(payload['modelId'])
  if (modelId !== undefined) return { type: 'text', text, modelId }
  return text === '' ? { type: 'ignored', eventType } : { type: 'text', text }
}

function toReasoning(payload: JsonObject): UpstreamEvent {
  const text = asText(payload['text'])
  const signature = asText(payload['signature'])
  const redacted = asText(payload['redactedContent'])
  return {
    type: 'reasoning',
    ...(text === undefined ? {} : { text }),
    ...(signature === undefined ? {} : { signature }),
    ...(redacted === undefined ? {} : { redacted })
  }
}

function toTool(payload: JsonObject): UpstreamEvent {
  const { input } = payload
  const tool = {
    type: 'tool',
    id: asText(payload['toolUseId']) ?? '',
    name: asText(payload['name']) ?? '',
    stop: payload['stop'] === true
  } as const
  const known = typeof input === 'string' ? input : asJsonObject(input)
  return known === null ? tool : { ...tool, input: known }
}

function toMetadata(payload: JsonObject): UpstreamEvent {
  const stopReason = asText(payload['stopReason'])
  const counts = asJsonObject(payload['tokenUsage']) ?? {}
  const tokenUsage = toTokenUsage(counts)
  const percentage =
    asNumber(counts['contextUsagePercentage']) ?? asNumber(payload['contextUsagePercentage'])
  return {
    type: 'metadata',
    ...(stopReason === undefined ? {} : { stopReason }),
    ...(tokenUsage === undefined ? {} : { tokenUsage }),
    ...(percentage === undefined ? {} : { contextUsagePercentage: percentage })
  }
}

const TOKEN_COUNTS = [
  'uncachedInputTokens',
  'cacheReadInputTokens',
  'cacheWriteInputTokens',
  'outputTokens',
  'totalTokens'
] as const satisfies readonly (keyof TokenUsage)[]

function toTokenUsage(counts: JsonObject): TokenUsage | undefined {
  const usage: { -readonly [K in keyof TokenUsage]: TokenUsage[K] } = {}
  for (const name of TOKEN_COUNTS) {
    const count = asNumber(counts[name])
    if (count !== undefined) usage[name] = count
  }
  return Object.keys(usage).length === 0 ? undefined : usage
}

function parseException(frame: Frame): UpstreamEvent {
  const text = payloadTextOf(frame)
  const payload = parseJsonObject(text) ?? { message: text }
  const name = frame.headers[':exception-type'] || asText(payload['__type']) || ''
  return toException(name || 'UnknownException', payload)
}

function parseError(frame: Frame): UpstreamEvent {
  const text = payloadTextOf(frame)
  const payload = parseJsonObject(text) ?? { message: text }
  const message = frame.headers[':error-message'] ?? ''
  const name = frame.headers[':error-code'] || 'UnknownError'
  return toException(name, message === '' ? payload : { ...payload, message })
}

function toException(name: string, payload: JsonObject): UpstreamEvent {
  const [bareName = ''] = name.slice(name.indexOf('#') + 1).split(':') // `com.amazon.aws#Name:http://…`
  const message = asText(payload['message']) ?? asText(payload['Message']) ?? ''
  const reason = asText(payload['reason'])
  const exception = { type: 'exception', name: bareName, message: message || bareName } as const
  return reason === undefined ? exception : { ...exception, reason }
}

/**
 * Unwraps an object that is inside its own event name (§5.2).
 * @throws {GatewayError} GW_FRAME_CORRUPT if it is not a JSON object
 */
function parsePayload(frame: Frame, eventType: string): JsonObject {
  const payload = parseJsonObject(payloadTextOf(frame))
  if (payload === null) {
    throw new GatewayError('GW_FRAME_CORRUPT', `the payload of ${eventType} is not a JSON object`)
  }
  const inner = asJsonObject(payload[eventType])
  return inner !== null && Object.keys(payload).length === 1 ? inner : payload
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function asNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

const HEAD = Buffer.from('{"content":"')
const QUOTE = 0x22
const BACKSLASH = 0x5c
const CLOSING_BRACE = 0x7d
const SPACE = 0x20
/** Longer payloads are rare, and faster with JSON.parse. */
const MAX_BYTES = 512

/** Text of a frame of the answer that has nothing else, as nearly all are. */
export function plainTextOf(frame: Frame): string | null {
  const messageType = frame.headers[':message-type'] ?? ''
  const isEvent = messageType === 'event' || messageType === ''
  const isText = isEvent && frame.headers[':event-type'] === 'assistantResponseEvent'
  return isText ? plainContent(frame) : null
}

/** Reads exactly `{"content":"…"}` in half of JSON.parse's time. */
export function plainContent({
  bytes,
  payloadStart,
  payloadEnd
}: Omit<Frame, 'headers'>): string | null {
  const start = payloadStart + HEAD.length
  const end = payloadEnd - 2
  if (end < start || end - payloadStart > MAX_BYTES) return null
  if (bytes[end] !== QUOTE || bytes[end + 1] !== CLOSING_BRACE) return null
  for (let at = 0; at < HEAD.length; at++) if (bytes[payloadStart + at] !== HEAD[at]) return null
  let hasEscapes = false
  let at = start
  for (; at < end; at++) {
    const byte = bytes[at] ?? 0
    if (byte < SPACE || byte === QUOTE) return null
    if (byte !== BACKSLASH) continue
    hasEscapes = true
    at++ // what is escaped may be a quote
  }
  if (at !== end) return null // or the last one
  return hasEscapes
    ? unescapeText(bytes.toString('utf8', start - 1, end + 1))
    : bytes.toString('utf8', start, end)
}

function unescapeText(json: string): string | null {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'string' ? value : null
  } catch {
    return null
  }
}
