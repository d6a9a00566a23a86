import { AnthropicAnswer } from './anthropic-messages/answer.ts'
import { AnthropicTranslator } from './anthropic-messages/translator.ts'
import type { AnswerIdentity } from './answer-identity.ts'
import { OpenAiChatAnswer } from './openai-chat/answer.ts'
import { OpenAiChatTranslator } from './openai-chat/translator.ts'
import { ResponsesAnswer } from './openai-responses/answer.ts'
import { toResponseId } from './openai-responses/item-id.ts'
import { ResponsesTranslator } from './openai-responses/translator.ts'
import type { DialectName, ReplyPlan } from './reply-plan.ts'
import type { Collector, Translator } from './stream-part.ts'

/** What writes answers in one client API. */
interface AnswerWriters {
  readonly toId: (hex: string) => string
  readonly createTranslator: (plan: ReplyPlan, identity: AnswerIdentity) => Translator
  readonly createCollector: (plan: ReplyPlan, identity: AnswerIdentity) => Collector
}

const Writers: Readonly<Record<DialectName, AnswerWriters>> = {
  'openai-chat': {
    toId: (hex) => `chatcmpl-${hex}`,
    createTranslator: (plan, identity) => new OpenAiChatTranslator(plan, identity),
    createCollector: (plan, identity) => new OpenAiChatAnswer(plan, identity)
  },
  'openai-responses': {
    toId: toResponseId,
    createTranslator: (plan, identity) => new ResponsesTranslator(plan, identity),
    createCollector: (plan, identity) => new ResponsesAnswer(plan, identity)
  },
  'anthropic-messages': {
    toId: (hex) => `msg_${hex.slice(0, 24)}`,
    createTranslator: (plan, identity) => new AnthropicTranslator(plan, identity),
    createCollector: (plan, identity) => new AnthropicAnswer(plan, identity)
  }
}

/** An answer's id as its dialect shapes ids, made of 32 hexadecimal digits. */
export function toAnswerId(dialect: DialectName, hex: string): string {
  return Writers[dialect].toId(hex)
}

/** For `plan.isStream`: parts of one answer in, text of its dialect out. */
export function createTranslator(plan: ReplyPlan, identity: AnswerIdentity): Translator {
  return Writers[plan.dialect].createTranslator(plan, identity)
}

/** For an answer in one piece. */
export function createCollector(plan: ReplyPlan, identity: AnswerIdentity): Collector {
  return Writers[plan.dialect].createCollector(plan, identity)
}
