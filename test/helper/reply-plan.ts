import type { AnswerIdentity, AnswerWriter } from '../../src/dialects/answer/answer-writer.ts'
import type { AnswerRoom } from '../../src/dialects/answer/output-text.ts'
import type { MessagesWishes } from '../../src/dialects/anthropic-messages/answer.ts'
import { createWriter, type DialectName } from '../../src/dialects/dialect.ts'
import type { ChatWishes } from '../../src/dialects/openai-chat/answer.ts'
import type { ResponsesWishes } from '../../src/dialects/openai-responses/output-items.ts'
import type { AskedAnswer, ReplyPlan } from '../../src/dialects/plan/plan.ts'

/** What any dialect may ask of its own answers. */
export interface Wishes extends ChatWishes, MessagesWishes, ResponsesWishes {}

export interface PlanChanges
  extends Omit<ReplyPlan, 'asked'>,
    Omit<AskedAnswer, 'own' | 'isSealed'>,
    Wishes {
  readonly dialect: DialectName
  readonly isSealed: boolean
}

/** A streamed answer without anything special; tests name what they need otherwise. */
export function replyPlan(changes: Partial<PlanChanges> = {}): ReplyPlan<Wishes> {
  const {
    dialect = 'openai-chat',
    model = 'claude-haiku-4.5',
    isStream = true,
    stopSequences = [],
    isSingleToolCall = false,
    isJsonAnswer = false,
    keepsItems = false,
    wantsUsage = true,
    isLegacyCall = false,
    safeguards = [],
    toolForms = {},
    echo = {},
    isCompaction = false,
    isCompactCall = false,
    isSealed = dialect === 'openai-responses',
    ...rest
  } = changes
  const own = { wantsUsage, isLegacyCall, safeguards, toolForms, echo, isCompaction, isCompactCall }
  return {
    asked: {
      dialect,
      model,
      isStream,
      stopSequences,
      isSingleToolCall,
      isJsonAnswer,
      keepsItems,
      ...(isSealed && { isSealed: true as const }),
      own
    },
    upstreamModel: 'claude-haiku-4.5',
    ids: { conversation: 'c', root: 'c', turn: 't' },
    toolNames: {},
    reasoning: 'none',
    inputTokens: 900,
    groups: [900, 0, 0, 0, 0, 0, 0, 0],
    isSlow: false,
    contextWindow: 200_000,
    textCallForms: {},
    rounds: null,
    repairs: [],
    borderline: [],
    keptBytes: 0,
    ...rest
  }
}

/** All members side by side, to be compared. */
export function flatPlan<Own extends object>(plan: ReplyPlan<Own>) {
  return { ...plan, ...plan.asked, ...plan.asked.own }
}

/** Keys of compactions of one client. */
export const summaryKeys = { keys: ['ab'.repeat(32)], owner: 'one' }

/** Writes the answer as a stream, whatever the plan says. */
export function createTranslator(
  plan: ReplyPlan,
  identity: AnswerIdentity,
  room?: AnswerRoom
): AnswerWriter {
  return createWriter(asStream(plan, true), identity, room, summaryKeys)
}

/** Writes the answer in one piece, whatever the plan says. */
export function createCollector(
  plan: ReplyPlan,
  identity: AnswerIdentity,
  room?: AnswerRoom
): AnswerWriter {
  return createWriter(asStream(plan, false), identity, room, summaryKeys)
}

function asStream(plan: ReplyPlan, isStream: boolean): ReplyPlan {
  return { ...plan, asked: { ...plan.asked, isStream } }
}

const now = () => 1_760_000_001
export const openAiIdentity: AnswerIdentity = { id: 'chatcmpl-1f', created: 1_760_000_000, now }
export const anthropicIdentity: AnswerIdentity = { id: 'msg_1f', created: 1_760_000_000, now }
export const responsesIdentity: AnswerIdentity = {
  id: 'resp_0123456789abcdef0123456789abcdef',
  created: 1_760_000_000,
  now
}
