import t from 'tap'
import { toText } from '../../../src/dialects/answer/output-text.ts'
import type { StreamPart } from '../../../src/dialects/answer/stream-part.ts'
import { sealSummary } from '../../../src/dialects/openai-responses/output-items.ts'
import { convert as convertAny } from '../../helper/convert.ts'
import { translate } from '../../helper/read-answer.ts'
import {
  createCollector,
  createTranslator,
  replyPlan,
  responsesIdentity,
  flatPlan
} from '../../helper/reply-plan.ts'
import { readResponsesStream } from '../../helper/responses-grammar.ts'

const convert = (request: object) => convertAny('openai-responses', request)

const TRIGGER = { type: 'compaction_trigger' }
const HISTORY = [
  { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'list the files' }] },
  { type: 'function_call', call_id: 'c', name: 'ls', arguments: '{}' },
  { type: 'function_call_output', call_id: 'c', output: 'a.txt' }
]
const plan = replyPlan({ dialect: 'openai-responses', isCompaction: true })

function answerOf(reason: 'stop' | 'length'): readonly StreamPart[] {
  return [
    { type: 'text', text: 'The user wants ' },
    { type: 'text', text: 'a list – “all”.' },
    { type: 'end', reason, usage: { inputTokens: 12, outputTokens: 5 } }
  ]
}

t.test('Codex with openai_base_url: "expected exactly one compaction output item"', async (t) => {
  t.test('the model is asked for nothing but a summary', async (t) => {
    const { current, tools, plan, payload } = convert({
      model: 'claude-opus-4.8',
      input: [...HISTORY, TRIGGER],
      tools: [{ type: 'function', name: 'ls' }, { type: 'web_search' }],
      tool_choice: 'auto',
      reasoning: { effort: 'high', summary: 'auto' },
      text: { format: { type: 'json_object' } }
    })
    t.match(current.content, /a\.txt\nThe conversation up to here will be replaced by a summary/)
    t.same(tools, [])
    t.match(payload.additionalModelRequestFields, { thinking: { type: 'disabled' } })
    t.match(flatPlan(plan), {
      isCompaction: true,
      reasoning: 'none',
      isJsonAnswer: false,
      rounds: null
    })
    t.match(
      JSON.parse(plan.asked.own.echo),
      { tool_choice: 'auto', reasoning: { effort: 'high' } },
      'as it was sent'
    )
  })

  t.test('its words are one item, streamed or not', async (t) => {
    const writer = createTranslator(plan, responsesIdentity)
    const { types, output, response } = readResponsesStream(translate(writer, answerOf('stop')))
    t.same(types, [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.output_item.done',
      'response.completed'
    ])
    const sealed = sealSummary('The user wants a list – “all”.')
    t.match(output, [{ type: 'compaction', id: /^cmp_/, encrypted_content: sealed }])
    t.equal(output.length, 1)
    const answer = createCollector(plan, responsesIdentity)
    for (const part of answerOf('stop')) answer.push(part)
    t.same(JSON.parse(toText(answer.toJson())), response)
  })

  t.test('what comes back is the summary', async (t) => {
    const item = { type: 'compaction', encrypted_content: sealSummary('A list – “all”.') }
    const { current, plan } = convert({ model: 'auto', input: [item, 'go on'] })
    t.equal(current.content, '[Summary of the conversation so far]\nA list – “all”.\ngo on')
    t.same(plan.repairs, ['turns-merged'])
  })

  t.test('half a summary is none', async (t) => {
    const writer = createTranslator(plan, responsesIdentity)
    const { response, output } = readResponsesStream(translate(writer, answerOf('length')))
    t.match(response, { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } })
    t.match(output, [{ type: 'compaction', encrypted_content: '' }])
  })
})

t.test('a conversation that another service compacted is not lost without a word', async (t) => {
  for (const content of ['gAAAA', '', null, 7]) {
    const item = { type: 'compaction', id: 'cmp_1', encrypted_content: content }
    const { current, plan } = convert({ model: 'auto', input: [item, 'go on'] })
    t.match(current.content, /^\[A part of the conversation .* can read\.\]\ngo on$/)
    t.same(plan.repairs, ['block-dropped', 'turns-merged'])
  }
})
