import { convertRequest, type DialectName } from '../../src/dialects/dialect.ts'
import type { ReplyPlan } from '../../src/dialects/plan/plan.ts'
import type { RequestOptions } from '../../src/dialects/request/to-upstream.ts'
import type { UpstreamPayload, UserInputMessage } from '../../src/kiro/wire/payload.ts'
import type { Wishes } from './reply-plan.ts'
import { requestOptions } from './request-options.ts'

/** Converts a request and takes its payload apart for assertions. */
export function convert(
  dialect: DialectName,
  request: unknown,
  options: RequestOptions = requestOptions()
) {
  const body = typeof request === 'string' ? request : JSON.stringify(request)
  const { payload: bytes, plan } = convertRequest(dialect, Buffer.from(body), options)
  const payload = JSON.parse(Buffer.from(bytes).toString()) as UpstreamPayload
  const { currentMessage, history = [] } = payload.conversationState
  const current: UserInputMessage = currentMessage.userInputMessage
  const { tools = [], toolResults = [] } = current.userInputMessageContext ?? {}
  return {
    payload,
    plan: plan as ReplyPlan<Wishes>,
    current,
    history,
    tools: tools.map(({ toolSpecification }) => toolSpecification),
    toolResults
  }
}

/** The refusal of a request; fails the test when there is none. */
export function refusalOf(
  dialect: DialectName,
  request: unknown,
  options?: RequestOptions
): unknown {
  try {
    convert(dialect, request, options)
  } catch (error) {
    return error
  }
  throw new Error('the request was taken')
}
