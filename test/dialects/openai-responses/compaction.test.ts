import t from 'tap'
import { toText } from '../../../src/dialects/answer/answer-writer.ts'
import type { StreamPart } from '../../../src/dialects/answer/stream-part.ts'
import { openSummary, sealSummary } from '../../../src/shared/sealed-summary.ts'
import { convert as convertAny } from '../../helper/convert.ts'
import { requestOptions } from '../../helper/request-options.ts'
import { translate } from '../../helper/read-answer.ts'
import {
  createCollector,
  createTranslator,
  replyPlan,
  responsesIdentity,
  flatPlan,
  summaryKeys
} from '../../helper/reply-plan.ts'
import { readResponsesStream } from '../../helper/responses-grammar.ts'

const OPENS = { compaction: { ...summaryKeys, isCall: false } }

const convert = (request: object, options: object = {}) =>
  convertAny('openai-responses', request, requestOptions(options))

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
      plan.asked.own.echo,
      { tool_choice: '"auto"', reasoning: /"effort":"high"/ },
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
    t.match(output, [{ type: 'compaction', id: /^cmp_/ }])
    t.equal(output.length, 1)
    t.equal(openedOf(output[0]), 'The user wants a list – “all”.')
    t.notMatch(JSON.stringify(output), /list/)
    const answer = createCollector(plan, responsesIdentity)
    for (const part of answerOf('stop')) answer.push(part)
    const { output: whole, ...rest } = JSON.parse(toText(answer.toJson()))
    t.same({ ...rest, output: [] }, { ...response, output: [] })
    t.equal(openedOf(whole[0]), openedOf(output[0]))
  })

  t.test('what comes back is the summary', async (t) => {
    const sealed = sealSummary('A list – “all”.', summaryKeys)
    const item = { type: 'compaction', encrypted_content: sealed }
    const { current, plan } = convert({ model: 'auto', input: [item, 'go on'] }, OPENS)
    t.equal(current.content, '[Summary of the conversation so far]\nA list – “all”.\ngo on')
    t.same(plan.repairs, ['turns-merged'])
  })

  t.test('half a summary is none, streamed or not', async (t) => {
    const none: StreamPart = {
      type: 'end',
      reason: 'stop',
      usage: { inputTokens: 12, outputTokens: 0 }
    }
    for (const parts of [answerOf('length'), [none]]) {
      const writer = createTranslator(plan, responsesIdentity)
      const began = parts.slice(0, -1).map((part) => toText(writer.push(part)))
      const end = parts.at(-1) ?? none
      let error = new Error('nothing was thrown')
      try {
        writer.push(end)
      } catch (cause) {
        error = cause as Error
      }
      t.match(error, { code: 'GW_ANSWER_INVALID', message: /no whole summary/ })
      const text = [...began, toText(writer.fail(error))].join('')
      const events = text.matchAll(/^data: (.*)$/gm).map(([, json = '']) => JSON.parse(json))
      t.match([...events].at(-1), { type: 'response.failed', response: { output: [] } })
      const collector = createCollector(plan, responsesIdentity)
      for (const part of parts.slice(0, -1)) collector.push(part)
      t.throws(() => collector.push(end), { code: 'GW_ANSWER_INVALID' })
    }
  })
})

t.test('a compaction of another key or service, or a changed one, is refused', async (t) => {
  const sealed = sealSummary('secret words', summaryKeys)
  const rotated = { keys: ['cd'.repeat(32), ...summaryKeys.keys], owner: 'one' }
  t.equal(openSummary(sealed, rotated), 'secret words', 'a new key opens what the old one sealed')
  const at = sealed.length - 6
  const changed = sealed.slice(0, at) + (sealed[at] === 'A' ? 'B' : 'A') + sealed.slice(at + 1)
  for (const content of [
    'gAAAA',
    '',
    null,
    7,
    sealed.slice(0, -8),
    changed,
    'kgc1.',
    `x${sealed}`
  ]) {
    const input = [{ type: 'compaction', encrypted_content: content }, 'go on']
    t.throws(() => convert({ model: 'auto', input }, OPENS), {
      code: 'GW_BODY_INVALID',
      message: /^input\[0\]\.encrypted_content: was not made here for this API key/
    })
  }
  for (const keys of [
    { ...summaryKeys, owner: 'two' },
    { ...summaryKeys, keys: ['cd'.repeat(32)] }
  ])
    t.equal(openSummary(sealed, keys), null)
})

t.test('where nothing is opened, a compaction is not lost without a word', async (t) => {
  const item = { type: 'compaction', id: 'cmp_1', encrypted_content: 'gAAAA' }
  const { current, plan } = convert({ model: 'auto', input: [item, 'go on'] })
  t.match(current.content, /^\[A part of the conversation .* can read\.\]\ngo on$/)
  t.same(plan.repairs, ['block-dropped', 'turns-merged'])
})

function openedOf(item: unknown): string | null {
  const { encrypted_content: content } = item as { readonly encrypted_content?: unknown }
  return openSummary(content, summaryKeys)
}
