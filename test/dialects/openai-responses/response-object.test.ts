import t from 'tap'
import { toText } from '../../../src/dialects/answer/answer-writer.ts'
import type { StreamPart } from '../../../src/dialects/answer/stream-part.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { convert } from '../../helper/convert.ts'
import { translate } from '../../helper/read-answer.ts'
import {
  createCollector,
  createTranslator,
  replyPlan,
  responsesIdentity
} from '../../helper/reply-plan.ts'
import { readSse } from '../../helper/sse-messages.ts'

/**
 * The members of a response that the Open Responses specification calls required, and their types. Clients with generated
 * validators, such as OpenRouter's SDK, refuse an answer that lacks one of them.
 */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  id: ['string'],
  object: ['string'],
  created_at: ['integer'],
  completed_at: ['integer', 'null'],
  status: ['string'],
  incomplete_details: ['object', 'null'],
  model: ['string'],
  previous_response_id: ['string', 'null'],
  instructions: ['string', 'null'],
  output: ['array'],
  error: ['object', 'null'],
  tools: ['array'],
  tool_choice: ['string', 'object'],
  truncation: ['string'],
  parallel_tool_calls: ['boolean'],
  text: ['object'],
  top_p: ['number'],
  presence_penalty: ['number'],
  frequency_penalty: ['number'],
  top_logprobs: ['integer'],
  temperature: ['number'],
  reasoning: ['object', 'null'],
  user: ['string', 'null'],
  usage: ['object', 'null'],
  max_output_tokens: ['integer', 'null'],
  max_tool_calls: ['integer', 'null'],
  store: ['boolean'],
  background: ['boolean'],
  service_tier: ['string'],
  metadata: ['object'],
  safety_identifier: ['string', 'null'],
  prompt_cache_key: ['string', 'null']
}

const usage = { inputTokens: 1, outputTokens: 1 }
const ENDS: Readonly<Record<string, StreamPart>> = {
  completed: { type: 'end', reason: 'stop', usage },
  incomplete: { type: 'end', reason: 'length', usage }
}
const REQUESTS = {
  bare: {},
  full: {
    instructions: 'I',
    tools: [{ type: 'function', name: 'f' }],
    tool_choice: { type: 'function', name: 'f' },
    temperature: 0,
    top_p: 0.5,
    presence_penalty: 1,
    frequency_penalty: 1,
    top_logprobs: 2,
    max_output_tokens: 10,
    max_tool_calls: 3,
    service_tier: 'flex',
    safety_identifier: 's',
    prompt_cache_key: 'k',
    user: 'u'
  }
}

for (const [name, request] of Object.entries(REQUESTS)) {
  const { own } = convert('openai-responses', { model: 'auto', input: 'hi', ...request }).plan.asked
  const plan = replyPlan({ dialect: 'openai-responses', echo: own.echo })

  t.test(`a response has every member of the specification, for a ${name} request`, async (t) => {
    for (const [status, end] of Object.entries(ENDS)) {
      const parts: readonly StreamPart[] = [{ type: 'text', text: 'Hi' }, end]
      const stream = translate(createTranslator(plan, responsesIdentity), parts)
      const responses = responsesOf(stream)
      t.same(
        responses.map((response) => response['status']),
        ['in_progress', 'in_progress', status]
      )
      for (const response of responses) t.same(problemsOf(response), [])
      const writer = createCollector(plan, responsesIdentity)
      for (const part of parts) writer.push(part)
      t.same(JSON.parse(toText(writer.toJson())), responses.at(-1), 'in one piece it is the same')
    }
    const writer = createTranslator(plan, responsesIdentity)
    const failed = responsesOf(toText(writer.fail(new GatewayError('GW_UPSTREAM_RESET'))))
    for (const response of failed) t.same(problemsOf(response), [])
    t.match(failed.at(-1), { status: 'failed', completed_at: null, service_tier: 'default' })
  })
}

t.test('the time of its end is told of a completed response alone', async (t) => {
  const plan = replyPlan({ dialect: 'openai-responses' })
  let time = responsesIdentity.created
  const identity = { ...responsesIdentity, now: () => time }
  const endOf = (end: StreamPart) => {
    const writer = createTranslator(plan, identity)
    const begun = translate(writer, [{ type: 'text', text: 'Hi' }])
    time += 7
    return responsesOf(begun + translate(writer, [end])).map(({ completed_at: at }) => at)
  }
  t.same(endOf(ENDS['completed'] as StreamPart), [null, null, identity.created + 7])
  t.same(endOf(ENDS['incomplete'] as StreamPart), [null, null, null])
})

function responsesOf(stream: string): readonly Record<string, unknown>[] {
  return readSse(stream)
    .messages.map(({ data }) => JSON.parse(data).response)
    .filter((response) => response !== undefined)
}

function problemsOf(response: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(REQUIRED).flatMap(([name, kinds]) => {
    const found = kindsOf(response[name])
    return found.some((kind) => kinds.includes(kind)) ? [] : [`${name} is ${found.join()}`]
  })
}

function kindsOf(value: unknown): readonly string[] {
  if (value === null) return ['null']
  if (Array.isArray(value)) return ['array']
  if (Number.isInteger(value)) return ['integer', 'number']
  return [typeof value]
}
