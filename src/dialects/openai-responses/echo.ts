import type { ResponsesBody } from './schema.ts'

/** Members that a response repeats as they were sent. */
const ECHOED = [
  'instructions',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'temperature',
  'top_p',
  'top_logprobs',
  'max_output_tokens',
  'max_tool_calls',
  'metadata',
  'text',
  'reasoning',
  'truncation',
  'store',
  'user',
  'safety_identifier',
  'prompt_cache_key'
] as const satisfies readonly (keyof ResponsesBody)[]

/**
 * Longest member that is repeated, in characters of JSON. A stream repeats them three times, and agents, which
 * send the largest, never read them.
 */
const MAX_ECHO_CHARS = 16_384

/**
 * What the answer repeats of its request: members that the client set and that are not too large. There is
 * one way of processing only, so a service tier that was asked for is answered as `default`.
 */
export function echoOf(body: ResponsesBody): Readonly<Record<string, unknown>> {
  const echo: Record<string, unknown> = {}
  for (const name of ECHOED) {
    const value = body[name]
    if (value !== undefined && value !== null && isSmall(value)) echo[name] = value
  }
  if (body.service_tier) echo['service_tier'] = 'default'
  return echo
}

function isSmall(value: unknown): boolean {
  if (typeof value === 'string') return value.length <= MAX_ECHO_CHARS
  if (typeof value !== 'object') return true
  return JSON.stringify(value).length <= MAX_ECHO_CHARS
}
