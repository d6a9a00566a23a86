/** A client's model name after clean-up, and what its decorations asked for. */
export interface ModelName {
  /** The spelling that the upstream uses, if it has such a model. */
  readonly id: string
  /** `-thinking` at the end: reasoning was asked for by name. */
  readonly asksThinking: boolean
  /** `[1m]` at the end: the variant with the long context window was asked for. */
  readonly asksLongContext: boolean
}

/** Names longer than any model's are not looked at further: they cannot match. */
const MAX_NAME_CHARS = 200

const WINDOW_MARKER = /\[(\d+)([mk])\]$/i
const PROVIDER_PREFIX = /^anthropic[-/](?=.)/i
const SUFFIX = /-(thinking|agentic)$/i

const FAMILY = '(haiku|sonnet|opus|fable)'

interface Rule {
  readonly pattern: RegExp
  readonly toId: (match: readonly string[]) => string
}

/** kiro-protocol §7.2, in its order; the first that matches decides. */
const RULES: readonly Rule[] = [
  {
    pattern: new RegExp(`^claude-${FAMILY}-(\\d+)-(\\d{1,2})(-1m)?(?:-\\d+|-latest)?$`),
    toId: ([, family = '', major = '', minor = '', long = '']) =>
      `claude-${family}-${major}.${minor}${long}`
  },
  {
    pattern: new RegExp(`^claude-${FAMILY}-(\\d+)(-1m)?(?:-\\d{8}|-latest)?$`),
    toId: ([, family = '', major = '', long = '']) => `claude-${family}-${major}${long}`
  },
  {
    pattern: new RegExp(`^claude-(\\d+)-(\\d{1,2})-${FAMILY}(?:-\\d{8}|-latest)?$`),
    toId: ([, major = '', minor = '', family = '']) => `claude-${major}.${minor}-${family}`
  },
  {
    pattern: new RegExp(
      `^(claude-(?:${FAMILY}-\\d+\\.\\d+|\\d+\\.\\d+-${FAMILY})(?:-1m)?)(?:-\\d{8}|-latest)?$`
    ),
    toId: ([, id = '']) => id
  },
  {
    pattern: new RegExp(`^claude-(\\d+\\.\\d+)-${FAMILY}-.+$`),
    toId: ([, version = '', family = '']) => `claude-${family}-${version}`
  }
]

/**
 * Turns any known spelling of a model's name into the upstream's (§7.2): window markers, `-thinking`
 * and `-agentic` come off, dates go, dashes in Claude versions become dots. Pure and idempotent; a name
 * that no rule knows keeps its spelling and its case.
 */
export function normaliseModelName(name: string): ModelName {
  const trimmed = name.trim()
  if (trimmed.length > MAX_NAME_CHARS) {
    return { id: trimmed, asksThinking: false, asksLongContext: false }
  }
  let rest = trimmed
  let asksThinking = false
  let asksLongContext = false
  for (;;) {
    const marker = WINDOW_MARKER.exec(rest)
    const suffix = marker ?? SUFFIX.exec(rest) ?? PROVIDER_PREFIX.exec(rest)
    if (suffix === null || suffix[0].length === rest.length) break
    if (marker !== null) asksLongContext ||= marker[2]?.toLowerCase() === 'm'
    else if (suffix[1]?.toLowerCase() === 'thinking') asksThinking = true
    rest = suffix.index === 0 ? rest.slice(suffix[0].length) : rest.slice(0, suffix.index)
  }
  return { id: applyRules(rest), asksThinking, asksLongContext }
}

function applyRules(name: string): string {
  const lower = name.toLowerCase()
  for (const { pattern, toId } of RULES) {
    const match = pattern.exec(lower)
    if (match !== null) return toId(match)
  }
  return name
}
