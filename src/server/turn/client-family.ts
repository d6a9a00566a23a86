/** Programs by what their user agents begin with or contain; the first that fits. */
const FAMILIES: readonly (readonly [sign: RegExp, family: string])[] = [
  [/^claude-(cli|code)\b/i, 'claude-code'],
  [/^codex\b|^codex_/i, 'codex'],
  [/\bopencode\b/i, 'opencode'],
  [/\bqwen-?code\b/i, 'qwen-code'],
  [/\broo-?code\b/i, 'roo-code'],
  [/\bkilo-?code\b/i, 'kilo-code'],
  [/\bcline\b/i, 'cline'],
  [/\bcursor\b/i, 'cursor'],
  [/\bcontinue\b/i, 'continue'],
  [/\baider\b/i, 'aider'],
  [/\blitellm\b/i, 'litellm'],
  [/^anthropic\/(python|async)/i, 'anthropic-python'],
  [/^anthropic\/js/i, 'anthropic-js'],
  [/^openai\/python|^asyncopenai\//i, 'openai-python'],
  [/^openai\/js/i, 'openai-js'],
  [/^ai\/|\bai-sdk\b/i, 'ai-sdk'],
  [/^mozilla\//i, 'browser']
]

const MAX_LOOKED_AT_CHARS = 256

/**
 * What a client is called in the record of usage: one name for all versions of a program. One that is not known goes by the
 * first word of its user agent, which any client may choose: whoever counts by it needs a bound of his own.
 */
export function clientFamilyOf(userAgent: string | undefined): string {
  const text = (userAgent ?? '').slice(0, MAX_LOOKED_AT_CHARS)
  const known = FAMILIES.find(([sign]) => sign.test(text))
  if (known !== undefined) return known[1]
  const [word] = /^[a-z0-9][a-z0-9._-]{0,31}(?=$|[/ ;(])/i.exec(text) ?? []
  return word?.toLowerCase() ?? UNKNOWN_CLIENT
}

export const UNKNOWN_CLIENT = 'other'
