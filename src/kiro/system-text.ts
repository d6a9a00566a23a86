import { isBlank } from './message.ts'

/** Claude Code's first system line: it differs with every request, which would defeat caching. */
const BILLING_LINE = /^x-anthropic-billing-header:.*(?:\r?\n|$)/gm

/**
 * The system text of a request: the client's parts in order, then what the gateway has to add, each as a
 * paragraph of its own (kiro-protocol §4.8 steps 1 and 2). Blank parts are left out.
 */
export function composeSystemText(parts: readonly string[], additions: readonly string[]): string {
  const own = parts.map(withoutBillingLine).filter((part) => !isBlank(part))
  return [own.join('\n'), ...additions].filter((part) => !isBlank(part)).join('\n\n')
}

function withoutBillingLine(part: string): string {
  return part.includes('x-anthropic-billing-header:') ? part.replace(BILLING_LINE, '') : part
}
