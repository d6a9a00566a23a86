import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import { isRuleId, RuleTable, UpstreamLimits } from '../../kiro/rules/rules.ts'
import { isUnexplained, type UpstreamFault } from '../../kiro/wire/fault.ts'
import type { GatewayError, TokenOverflow } from '../../shared/errors.ts'

export interface RefusedRequest {
  readonly plan: Pick<ReplyPlan, 'borderline' | 'inputTokens' | 'contextWindow'>
  /** 0 if unknown by now. */
  readonly payloadBytes: number
}

/**
 * Says by how much a request is too long, and which rules an unexplained refusal ("Improperly formed
 * request.") may be about (kiro-protocol §4.14). A body larger than was seen to pass is taken for too long
 * (§4.12), so that it is trimmed or compacted.
 */
export function explainRefusal(
  error: GatewayError,
  fault: UpstreamFault | null,
  { plan, payloadBytes }: RefusedRequest
): GatewayError {
  if (fault === null || !isUnexplained(fault)) return nameOverflow(error, plan)
  const said = error.message.replace(/[.\s]+$/, '')
  const message = `${said}. ${wordBorderline(plan.borderline)}`
  if (fault.reason === null && payloadBytes > UpstreamLimits.payloadBytes) {
    return nameOverflow(error.with({ code: 'GW_CONTEXT_OVERFLOW', message }), plan)
  }
  return error.with({ message })
}

function wordBorderline(borderline: readonly string[]): string {
  if (borderline.length === 0) {
    return 'The request is not near any known limit. POST /v1/lint shows what the gateway repaired in it.'
  }
  const rules = borderline.filter(isRuleId).map((id) => `${id} (${RuleTable[id].what})`)
  return `Limits that this request is near or beyond: ${rules.join(' ')} POST /v1/lint has the figures.`
}

const NUMBER = String.raw`(\d[\d,_]{0,14})`
/** Anthropic's form: `215000 tokens > 200000 maximum`. */
const BOTH = new RegExp(`${NUMBER} tokens? ?> ?${NUMBER}`, 'i')
/** `maximum context length is 200000 tokens`, `maximum of 200000`, `200000 tokens maximum`. */
const MAXIMUM = [
  new RegExp(`maximum(?: [a-z]+){0,4} ${NUMBER}`, 'i'),
  new RegExp(`${NUMBER} (?:tokens? )?maximum`, 'i')
]
/** `resulted in 215000 tokens`, `you requested 215000 tokens`. */
const TOKENS = new RegExp(`(?:resulted in|requested|has|had|got|received) ${NUMBER} tokens`, 'i')

type RequestSize = Pick<ReplyPlan, 'inputTokens' | 'contextWindow'>

/** Clients compact by these figures: the upstream's, or else the estimate and the model's window. */
export function nameOverflow(error: GatewayError, plan: RequestSize): GatewayError {
  if (error.code !== 'GW_CONTEXT_OVERFLOW') return error
  return error.with({ overflow: overflowOf(error.message, plan) })
}

/** Tokens always exceed the maximum: the upstream may refuse what the estimate takes to fit. */
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
