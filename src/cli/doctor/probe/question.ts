import { randomUUID } from 'node:crypto'
import type { RequestForm } from '../../../kiro/wire/hosts.ts'
import type {
  HistoryEntry,
  UpstreamDocument,
  UpstreamPayload,
  UserInputMessage
} from '../../../kiro/wire/payload.ts'

/** One request for an answer, short and cheap. */
export interface Question {
  readonly form: RequestForm
  readonly modelId: string
  readonly content: string
  readonly history?: readonly HistoryEntry[]
  readonly documents?: readonly UpstreamDocument[]
  /** A UUID; a new one if left out. */
  readonly conversationId?: string
}

/** A user's message to a model. */
export function userMessage(
  { modelId }: Pick<Question, 'modelId'>,
  content: string
): UserInputMessage {
  return { content, modelId, origin: 'AI_EDITOR' }
}

/** The body of a question, in its form, without the profile (kiro-protocol §4.1, §4.16). */
export function writeQuestion(question: Question): UpstreamPayload {
  const { form, content, history, documents, conversationId = randomUUID() } = question
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
