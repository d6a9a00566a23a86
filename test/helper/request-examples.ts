import { readFileSync } from 'node:fs'
import { type DialectName, marksOf } from '../../src/dialects/dialect.ts'
import type { RequestForm } from '../../src/kiro/wire/hosts.ts'
import type { HistoryEntry, UpstreamPayload } from '../../src/kiro/wire/payload.ts'
import { convert } from './convert.ts'
import { requestOptions } from './request-options.ts'

/** A worked example: what a client sends, and what the upstream is sent. */
export interface RequestExample {
  readonly name: string
  readonly dialect: DialectName
  readonly headers?: Readonly<Record<string, string>>
  readonly request: unknown
  /** In the path form. */
  readonly upstream: UpstreamPayload
  /** In the target form, where it is written out. */
  readonly target?: UpstreamPayload
}

export const REQUEST_EXAMPLES = (
  JSON.parse(
    readFileSync(new URL('../fixtures/request-examples.json', import.meta.url), 'utf8')
  ) as { readonly examples: readonly RequestExample[] }
).examples

/** What is sent in one form, with the names of ids in the place of the ids. */
export function sentAs(
  { dialect, request, headers = {} }: Pick<RequestExample, 'dialect' | 'request' | 'headers'>,
  form: RequestForm
) {
  const options = { sendsDocuments: true, marks: marksOf(headers), owner: 'k', form }
  const { payload, plan } = convert(dialect, request, requestOptions(options))
  const { conversation, root, turn } = plan.ids
  const named = JSON.stringify(payload)
    .replaceAll(conversation, 'CID')
    .replaceAll(root, 'ROOT')
    .replaceAll(turn, 'TURN')
  return { plan, payload: JSON.parse(named) as UpstreamPayload }
}

/** The body of an example; in the target form by the rules of kiro-protocol §1.5 and §4.16 unless it is written out. */
export function bodyOf({ upstream, target }: RequestExample, form: RequestForm): object {
  if (form === 'path') return upstream
  if (target !== undefined) return target
  const { conversationState, ...others } = upstream
  const { history = [], currentMessage } = conversationState
  return {
    agentMode: 'vibe',
    conversationState: {
      conversationId: 'sess_CID',
      rootConversationId: 'sess_CID',
      agentContinuationId: 'TURN',
      agentTaskType: 'vibe',
      chatTriggerType: 'MANUAL',
      ...(history.length > 0 && { history: history.map(withoutFiller) }),
      currentMessage: withoutFiller(currentMessage)
    },
    ...others
  }
}

/** Turns without words of their own say nothing in the target form, where there are results or calls beside. */
function withoutFiller(entry: HistoryEntry): HistoryEntry {
  if ('userInputMessage' in entry) {
    const { userInputMessage: message } = entry
    const isFiller =
      message.content === 'Continue.' && message.userInputMessageContext?.toolResults !== undefined
    return isFiller ? { userInputMessage: { ...message, content: '' } } : entry
  }
  const { assistantResponseMessage: said } = entry
  const isFiller = said.content === ' ' && said.toolUses !== undefined
  return isFiller ? { assistantResponseMessage: { ...said, content: '' } } : entry
}
