import type { ReplyPlan } from '../dialects/reply-plan.ts'
import type { UpstreamFault } from '../kiro/fault.ts'
import { UpstreamLimits } from '../kiro/limits.ts'
import { isRuleId, RuleTable } from '../kiro/rules.ts'
import { GatewayError } from '../shared/errors.ts'
import { nameOverflow } from './overflow-error.ts'

export interface RefusedRequest {
  readonly plan: Pick<ReplyPlan, 'borderline' | 'inputTokens' | 'contextWindow'>
  /** 0 where that is not known any more. */
  readonly payloadBytes: number
}

/**
 * The error for the client. One about a conversation that is too long says by how much; one by which the upstream
 * explains nothing ("Improperly formed request.") also says which rules the request is near to break
 * (kiro-protocol §4.14). Where the body is larger than what was seen to pass everywhere, that is taken for the reason
 * (§4.12), so that the conversation is trimmed or its client compacts it.
 */
export function explainRefusal(
  error: GatewayError,
  fault: UpstreamFault | null,
  { plan, payloadBytes }: RefusedRequest
): GatewayError {
  if (fault === null || !isUnexplained(fault)) return nameOverflow(error, plan)
  const { code, detail, cause, retryAfterS, param, details } = error
  const said = error.message.replace(/[.\s]+$/, '')
  const message = `${said}. ${wordBorderline(plan.borderline)}`
  if (fault.reason === null && payloadBytes > UpstreamLimits.payloadBytes) {
    return nameOverflow(new GatewayError('GW_CONTEXT_OVERFLOW', detail, { message, cause }), plan)
  }
  return new GatewayError(code, detail, {
    message,
    cause,
    ...(retryAfterS !== undefined && { retryAfterS }),
    ...(param !== undefined && { param }),
    ...(details !== undefined && { details })
  })
}

function isUnexplained({ code, reason, message }: UpstreamFault): boolean {
  if (code !== 'GW_UPSTREAM_REFUSED') return false
  return reason === 'REQUEST_BODY_INVALID' || /^improperly formed request/i.test(message)
}

function wordBorderline(borderline: readonly string[]): string {
  if (borderline.length === 0) {
    return 'Nothing in the request is near a known limit; POST /v1/lint says what the gateway repaired in it.'
  }
  const rules = borderline.filter(isRuleId).map((id) => `${id} (${RuleTable[id].what})`)
  return `Near or beyond a limit in this request: ${rules.join(' ')} POST /v1/lint has the figures.`
}
