import { randomUUID } from 'node:crypto'
import type { RequestForm } from '../../../kiro/wire/hosts.ts'
import type {
  HistoryEntry,
  UpstreamDocument,
  UpstreamPayload,
  UserInputMessage
} from '../../../kiro/wire/payload.ts'

export interface Question {
  readonly form: RequestForm
  readonly modelId: string
  readonly content: string
  readonly history?: readonly HistoryEntry[]
  readonly documents?: readonly UpstreamDocument[]
}

export function userMessage(
  { modelId }: Pick<Question, 'modelId'>,
  content: string
): UserInputMessage {
  return { content, modelId, origin: 'AI_EDITOR' }
}

/** Body of a question without the profile (kiro-protocol §4.1, §4.16). */
export function writeQuestion(question: Question): UpstreamPayload {
  const { form, content, history, documents } = question
  const conversationId = randomUUID()
  const isTarget = form === 'target'
  const id = isTarget ? `sess_${conversationId}` : conversationId
  return {
    ...(isTarget && { agentMode: 'vibe' }),
    conversationState: {
      conversationId: id,
      ...(isTarget && {
        rootConversationId: id,
        agentContinuationId: randomUUID(),
        agentTaskType: 'vibe'
      }),
      chatTriggerType: 'MANUAL',
      ...(history !== undefined && { history }),
      currentMessage: {
        userInputMessage: {
          ...userMessage(question, content),
          ...(documents !== undefined && { documents })
        }
      }
    }
  }
}
