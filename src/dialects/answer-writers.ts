import { type AnswerRoom, ENDLESS_ROOM } from './answer/long-text.ts'
import type { AnswerIdentity, Collector, Translator } from './answer/stream-part.ts'
import { AnthropicAnswer, AnthropicTranslator } from './anthropic-messages/answer.ts'
import { OpenAiChatAnswer, OpenAiChatTranslator } from './openai-chat/answer.ts'
import { toResponseId } from './openai-responses/output-items.ts'
import { ResponsesAnswer } from './openai-responses/response-object.ts'
import { ResponsesTranslator } from './openai-responses/translator.ts'
import type { DialectName, ReplyPlan } from './plan/plan.ts'

/** What writes answers in one client API. */
interface AnswerWriters {
  readonly toId: (hex: string) => string
  readonly createTranslator: (
    plan: ReplyPlan,
    identity: AnswerIdentity,
    room: AnswerRoom
  ) => Translator
  readonly createCollector: (
    plan: ReplyPlan,
    identity: AnswerIdentity,
    room: AnswerRoom
  ) => Collector
}

const Writers: Readonly<Record<DialectName, AnswerWriters>> = {
  'openai-chat': {
    toId: (hex) => `chatcmpl-${hex}`,
    createTranslator: (plan, identity) => new OpenAiChatTranslator(plan, identity),
    createCollector: (plan, identity, room) => new OpenAiChatAnswer(plan, identity, room)
  },
  'openai-responses': {
    toId: toResponseId,
    createTranslator: (plan, identity, room) => new ResponsesTranslator(plan, identity, room),
    createCollector: (plan, identity, room) => new ResponsesAnswer(plan, identity, room)
  },
  'anthropic-messages': {
    toId: (hex) => `msg_${hex.slice(0, 24)}`,
    createTranslator: (plan, identity) => new AnthropicTranslator(plan, identity),
    createCollector: (plan, identity, room) => new AnthropicAnswer(plan, identity, room)
  }
}

/** An answer's id as its dialect shapes ids, made of 32 hexadecimal digits. */
export function toAnswerId(dialect: DialectName, hex: string): string {
  return Writers[dialect].toId(hex)
}

/** For `plan.isStream`: parts of one answer in, text of its dialect out. */
export function createTranslator(
  plan: ReplyPlan,
  identity: AnswerIdentity,
  room: AnswerRoom = ENDLESS_ROOM
): Translator {
  return Writers[plan.dialect].createTranslator(plan, identity, room)
}

/** For an answer in one piece. */
export function createCollector(
  plan: ReplyPlan,
  identity: AnswerIdentity,
  room: AnswerRoom = ENDLESS_ROOM
): Collector {
  return Writers[plan.dialect].createCollector(plan, identity, room)
}
