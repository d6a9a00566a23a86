import type { Attributes } from '@opentelemetry/api'
import { cleanText } from '../observe/logger.ts'
import { ownText } from '../shared/own-memory.ts'
import type { TracedCall, TracedTurn } from './turn-trace.ts'

export const MAX_VALUE_CHARS = 256

/** The conventions have no name for this vendor. */
const PROVIDER = 'aws.kiro'

export function turnAttributes(turn: TracedTurn): Attributes {
  const { model, usage, code, keyName, repairs } = turn
  return {
    'http.response.status_code': turn.status,
    'http.request.body.size': turn.bodyBytes,
    'kiro_gateway.request_id': shown(turn.requestId),
    'kiro_gateway.dialect': turn.dialect,
    'kiro_gateway.client': shown(turn.client),
    'kiro_gateway.attempts': turn.attempts,
    ...(keyName !== null && { 'kiro_gateway.key': shown(keyName) }),
    ...(repairs.length > 0 && { 'kiro_gateway.repairs': repairs.map(shown) }),
    ...(code !== null && { 'error.type': code }),
    ...(model !== null && {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': PROVIDER,
      'gen_ai.response.model': shown(model.upstream),
      'gen_ai.request.model': shown(model.asked),
      'gen_ai.request.stream': model.isStream
    }),
    ...(usage !== null && usageAttributes(usage)),
    ...(turn.credits > 0 && { 'kiro_gateway.credits': turn.credits })
  }
}

function usageAttributes(usage: NonNullable<TracedTurn['usage']>): Attributes {
  const { cacheReadTokens, cacheWriteTokens, reasoningTokens } = usage
  // The conventions count cached tokens as input.
  const inputTokens = usage.inputTokens + (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0)
  return {
    'gen_ai.usage.input_tokens': inputTokens,
    'gen_ai.usage.output_tokens': usage.outputTokens,
    ...(cacheReadTokens !== undefined && {
      'gen_ai.usage.cache_read.input_tokens': cacheReadTokens
    }),
    ...(cacheWriteTokens !== undefined && {
      'gen_ai.usage.cache_creation.input_tokens': cacheWriteTokens
    }),
    ...(reasoningTokens !== undefined && {
      'gen_ai.usage.reasoning.output_tokens': reasoningTokens
    })
  }
}

/** Without tokens, which would be counted twice. */
export function callAttributes(
  { url, status, chunks, code }: TracedCall,
  upstreamModel: string
): Attributes {
  const { hostname, port, protocol } = url
  return {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': PROVIDER,
    'gen_ai.request.model': upstreamModel,
    'http.request.method': 'POST',
    'server.address': hostname,
    'server.port': port === '' ? (protocol === 'http:' ? 80 : 443) : Number(port),
    'kiro_gateway.chunks': chunks,
    ...(status !== 0 && { 'http.response.status_code': status }),
    ...(code !== null && { 'error.type': code })
  }
}

/** Makes a text safe for a span: no secrets or control characters, limited, and in memory of its own. */
export function shown(text: string): string {
  const clean = cleanText(text.slice(0, 2 * MAX_VALUE_CHARS), MAX_VALUE_CHARS - 1)
  return ownText(clean.toWellFormed().replaceAll(/\p{Cc}/gu, ' '))
}
