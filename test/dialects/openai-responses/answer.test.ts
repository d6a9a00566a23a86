import t from 'tap'
import { toText } from '../../../src/dialects/answer/output-text.ts'
import type { AnswerWriter } from '../../../src/dialects/answer/answer-writer.ts'
import type { StreamPart } from '../../../src/dialects/answer/stream-part.ts'
import { sealReasoning } from '../../../src/kiro/conversation/signed-reasoning.ts'
import { translate } from '../../helper/read-answer.ts'
import {
  createCollector,
  createTranslator,
  replyPlan,
  responsesIdentity
} from '../../helper/reply-plan.ts'
import { readResponsesStream } from '../../helper/responses-grammar.ts'

const plan = replyPlan({
  dialect: 'openai-responses',
  toolForms: { patch: { kind: 'text', name: 'patch', namespace: 'n' } }
})
const end: StreamPart = {
  type: 'end',
  reason: 'tool',
  usage: { inputTokens: 12, outputTokens: 5, credits: 0.1 }
}
const parts: readonly StreamPart[] = [
  { type: 'reasoning', text: 'Two ' },
  { type: 'reasoning', text: 'cities.' },
  { type: 'signature', signature: 'c2ln' },
  { type: 'redacted', content: { redactedContent: 'b3Bh' } },
  { type: 'text', text: 'Let me ' },
  { type: 'text', text: 'look.' },
  { type: 'search', id: 'ab'.repeat(16), query: 'oslo', results: [] },
  { type: 'tool-start', id: 'c1', name: 'patch' },
  { type: 'tool-delta', json: '{"input":"*** Be' },
  { type: 'tool-delta', json: 'gin\\n"}' },
  { type: 'tool-end' },
  { type: 'tool-start', id: 'c2', name: 'get_weather' },
  { type: 'tool-delta', json: '{"n":12345678901234567890}' },
  { type: 'tool-end' }
]

function collect(all: readonly StreamPart[]): AnswerWriter {
  const answer = createCollector(plan, responsesIdentity)
  for (const part of all) answer.push(part)
  return answer
}

t.test('collects what the stream tells', async (t) => {
  const json = toText(collect([...parts, end]).toJson())
  const stream = translate(createTranslator(plan, responsesIdentity), [...parts, end])
  t.same(JSON.parse(json), readResponsesStream(stream).response)
  t.match(JSON.parse(json), {
    status: 'completed',
    output: [
      { type: 'reasoning', encrypted_content: /^kgr1\./ },
      {
        type: 'reasoning',
        summary: [],
        encrypted_content: sealReasoning('claude-haiku-4.5', { redactedContent: 'b3Bh' })
      },
      { content: [{ text: 'Let me look.' }] },
      { type: 'web_search_call' },
      { type: 'custom_tool_call', namespace: 'n', input: '*** Begin\n' },
      { arguments: '{"n":12345678901234567890}' }
    ],
    usage: { total_tokens: 17, credits_used: 0.1 }
  })
})

t.test('a call that broke off makes the response incomplete and is not kept', async (t) => {
  const cut: readonly StreamPart[] = [
    ...parts,
    { type: 'tool-start', id: 'c3', name: 'patch' },
    { type: 'tool-delta', json: '{"input":"rm -rf /' },
    { type: 'tool-end', isCut: true },
    end
  ]
  const answer = collect(cut)
  const { status, incomplete_details: details, output } = JSON.parse(toText(answer.toJson()))
  t.equal(status, 'incomplete')
  t.same(details, { reason: 'max_output_tokens' })
  t.match(output.at(-1), { status: 'incomplete', call_id: 'c3' })
  t.notOk(answer.keptItems?.has(output.at(-1).id))
  t.equal(answer.keptItems?.size, output.length - 1)
  const writer = createTranslator(plan, responsesIdentity)
  translate(writer, cut)
  t.same(answer.keptItems, writer.keptItems, 'as in the stream')
})

t.test('has no body before the end', async (t) => {
  t.throws(() => collect(parts).toJson(), /has not ended/)
})
