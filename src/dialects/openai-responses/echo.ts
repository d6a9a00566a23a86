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
 * What the answer repeats of its request, as JSON text: members that the client set and that are not too large. There
 * is one way of processing only, so a service tier that was asked for is answered as `default`.
 */
export function echoOf(body: ResponsesBody): string {
  const echo: string[] = []
  for (const name of ECHOED) {
    const value = body[name]
    if (value === undefined || value === null) continue
    if (typeof value === 'string' && value.length > MAX_ECHO_CHARS) continue
    const json = JSON.stringify(value)
    if (typeof value === 'string' || json.length <= MAX_ECHO_CHARS) echo.push(`"${name}":${json}`)
  }
  if (body.service_tier) echo.push('"service_tier":"default"')
  return `{${echo.join(',')}}`
}
