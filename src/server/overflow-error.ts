import type { ReplyPlan } from '../dialects/reply-plan.ts'
import { GatewayError, type TokenOverflow } from '../shared/errors.ts'

const NUMBER = String.raw`(\d[\d,_]{0,14})`
/** `215000 tokens > 200000 maximum`, as Anthropic's API says it. */
const BOTH = new RegExp(`${NUMBER} tokens? ?> ?${NUMBER}`, 'i')
/** `maximum context length is 200000 tokens`, `maximum of 200000`, `200000 tokens maximum`. */
const MAXIMUM = [
  new RegExp(`maximum(?: [a-z]+){0,4} ${NUMBER}`, 'i'),
  new RegExp(`${NUMBER} (?:tokens? )?maximum`, 'i')
]
/** `resulted in 215000 tokens`, `you requested 215000 tokens`. */
const TOKENS = new RegExp(`(?:resulted in|requested|has|had|got|received) ${NUMBER} tokens`, 'i')

type RequestSize = Pick<ReplyPlan, 'inputTokens' | 'contextWindow'>

/**
 * Says how much too long a refused conversation is, which clients compact by: the upstream's figures where its words
 * have any, else the estimate and the model's window. Every other error stays as it is.
 */
export function nameOverflow(error: GatewayError, plan: RequestSize): GatewayError {
  if (error.code !== 'GW_CONTEXT_OVERFLOW') return error
  const { code, detail, message, cause } = error
  return new GatewayError(code, detail, { message, cause, overflow: overflowOf(message, plan) })
}

/** The tokens are always more than the maximum: the upstream may refuse what the estimate takes to fit. */
function overflowOf(message: string, { inputTokens, contextWindow }: RequestSize): TokenOverflow {
  const [, bothTokens, bothMaximum] = BOTH.exec(message) ?? []
  const saidMaximum = bothMaximum ?? firstMatch(MAXIMUM, message)
  const maximum = toCount(saidMaximum) ?? contextWindow
  const tokens = toCount(bothTokens ?? firstMatch([TOKENS], message)) ?? inputTokens
  return { maximum, tokens: Math.max(tokens, maximum + 1) }
}

function firstMatch(patterns: readonly RegExp[], text: string): string | undefined {
  for (const pattern of patterns) {
    const found = pattern.exec(text)?.[1]
    if (found !== undefined) return found
  }
  return undefined
}

function toCount(digits: string | undefined): number | undefined {
  const count = Number(digits?.replace(/[,_]/g, ''))
  return count > 0 ? count : undefined
}
