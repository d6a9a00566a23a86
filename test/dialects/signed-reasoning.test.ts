import t from 'tap'
import { openReasoning, sealReasoning } from '../../src/kiro/conversation/signed-reasoning.ts'
import type { HistoryEntry } from '../../src/kiro/wire/payload.ts'
import { convert } from '../helper/convert.ts'

// kiro-protocol §9.10: reasoning that clients bring back.

const SIG = 'c2lnbmF0dXJl'.repeat(8)
const tool = { name: 'f', description: 'F', input_schema: { type: 'object', properties: {} } }
const thinking = (signature: unknown = SIG, text = 'Let me see') => ({
  type: 'thinking',
  thinking: text,
  signature
})

interface Changes {
  readonly model?: string
  readonly tools?: readonly object[]
  /** More rounds before the last. */
  readonly before?: readonly object[]
}

function round(blocks: readonly unknown[], id = 'toolu_1'): readonly object[] {
  return [
    { role: 'user', content: 'go' },
    {
      role: 'assistant',
      content: [
        ...blocks,
        { type: 'text', text: 'Looking.' },
        { type: 'tool_use', id, name: 'f', input: {} }
      ]
    },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content: 'one' }] }
  ]
}

function messages(
  blocks: readonly unknown[],
  { model = 'claude-opus-5', tools = [tool], before = [] }: Changes = {}
) {
  return convert('anthropic-messages', {
    model,
    max_tokens: 8000,
    thinking: { type: 'adaptive' },
    output_config: { effort: 'high' },
    ...(tools.length > 0 && { tools }),
    messages: [...before, ...round(blocks)]
  })
}

const reasoningOf = (history: readonly HistoryEntry[]) =>
  history.flatMap((entry) =>
    'assistantResponseMessage' in entry ? [entry.assistantResponseMessage.reasoningContent] : []
  )

t.test('Chat Completions has no way for signed reasoning', async (t) => {
  const signature = 'c2lnbmF0dXJl'.repeat(8)
  const reasoning_details = [{ type: 'reasoning.text', text: 'hm', signature }]
  const said = { role: 'assistant', content: 'a', reasoning_content: 'hm', reasoning_details }
  const messages = [{ role: 'user', content: 'hi' }, said, { role: 'user', content: 'on' }]
  const { payload } = convert('openai-chat', { model: 'claude-opus-5', messages })
  t.notMatch(JSON.stringify(payload), 'reasoningContent')
})

t.test('a signed block goes back as it came', async (t) => {
  const { history, plan } = messages([thinking()])
  t.same(history.at(-1), {
    assistantResponseMessage: {
      content: 'Looking.',
      toolUses: [{ toolUseId: 'toolu_1', name: 'f', input: {} }],
      reasoningContent: { reasoningText: { text: 'Let me see', signature: SIG } }
    }
  })
  t.match(plan.replay, { conversationId: /^[0-9a-f-]{36}$/, hashes: [/^.{16}$/] })
  t.same(reasoningOf(messages([thinking(SIG, '')]).history), [
    { reasoningText: { text: '', signature: SIG } }
  ])
  const foreign = { type: 'redacted_thinking', data: 'QUJDREVG' }
  t.same(reasoningOf(messages([foreign]).history), [{ redactedContent: 'QUJDREVG' }])
})

t.test('what cannot be the upstream’s stays out, and everything with it', async (t) => {
  for (const signature of ['zz', '', null, 7, `sig_${SIG}`, `${SIG}!`, `${SIG} `, undefined]) {
    const block = {
      type: 'thinking',
      thinking: 'hm',
      ...(signature !== undefined && { signature })
    }
    t.same(reasoningOf(messages([block]).history), [undefined], String(signature))
    const { history, plan } = messages([block], { before: round([thinking()], 'toolu_0') })
    t.same(reasoningOf(history), [undefined, undefined])
    t.equal(plan.replay, undefined)
  }
  t.same(reasoningOf(messages([thinking()], { before: round([], 'toolu_0') }).history), [
    undefined,
    { reasoningText: { text: 'Let me see', signature: SIG } }
  ])
})

t.test('it stays out of models without reasoning, and where calls became words', async (t) => {
  t.same(reasoningOf(messages([thinking()], { model: 'claude-haiku-4.5' }).history), [undefined])
  t.same(reasoningOf(messages([thinking()], { tools: [] }).history), [undefined])
})

const sealed = (model: string) =>
  sealReasoning(model, { reasoningText: { text: '...', signature: SIG } })

function responses(items: readonly object[], model = 'gpt-5.6-sol') {
  return convert('openai-responses', {
    model,
    include: ['reasoning.encrypted_content'],
    tools: [{ type: 'function', name: 'f', parameters: { type: 'object', properties: {} } }],
    input: [{ role: 'user', content: 'go' }, ...items]
  })
}

const call = { type: 'function_call', call_id: 'tooluse_a', name: 'f', arguments: '{}' }
const output = { type: 'function_call_output', call_id: 'tooluse_a', output: 'one' }
const item = (word: unknown) => ({
  type: 'reasoning',
  id: 'rs_1',
  summary: [],
  encrypted_content: word
})

t.test('reasoning items belong to the calls around them', async (t) => {
  const word = sealed('gpt-5.6-sol')
  for (const items of [
    [call, item(word), output],
    [item(word), call, output]
  ]) {
    const { history, plan } = responses(items)
    t.same(history.at(-1), {
      assistantResponseMessage: {
        content: ' ',
        toolUses: [{ toolUseId: 'tooluse_a', name: 'f', input: {} }],
        reasoningContent: { reasoningText: { text: '...', signature: SIG } }
      }
    })
    t.equal(plan.asked.isSealed, true)
  }
})

t.test('words of another form, model or size stay out', async (t) => {
  for (const word of [
    sealed('claude-opus-5'),
    'gAAAA',
    'kgr1.',
    'kgr1.!!!!',
    `kgr1.${Buffer.from('[]').toString('base64url')}`,
    `${sealed('gpt-5.6-sol')}${'A'.repeat(262_144)}`,
    null,
    7
  ]) {
    t.same(reasoningOf(responses([call, item(word), output]).history), [undefined])
  }
  const alone = responses([item(sealed('gpt-5.6-sol')), { role: 'user', content: 'on' }])
  t.same(alone.history, [], 'alone it says nothing')
})

const word = (members: object) =>
  `kgr1.${Buffer.from(JSON.stringify(members)).toString('base64url')}`

function wordOf(bytes: number): string {
  const members = { m: 'gpt-5.6-sol', s: SIG, t: '' }
  return word({ ...members, t: 'x'.repeat(bytes - JSON.stringify(members).length) })
}

t.test('a word of 262,144 characters goes back, a longer one stays out', async (t) => {
  t.equal(wordOf(196_604).length, 262_144)
  t.not(openReasoning(wordOf(196_604)), null)
  t.equal(openReasoning(wordOf(196_605)), null)
})

t.test('half of a pair stays out, and one without words goes back', async (t) => {
  const m = 'gpt-5.6-sol'
  for (const half of [
    { m },
    { m, t: 'hm' },
    { m, s: SIG },
    { t: 'hm', s: SIG },
    { m, t: 7, s: SIG }
  ]) {
    t.same(reasoningOf(responses([call, item(word(half)), output]).history), [undefined])
  }
  t.same(reasoningOf(messages([{ type: 'thinking', signature: SIG }]).history), [
    { reasoningText: { text: '', signature: SIG } }
  ])
  t.same(reasoningOf(messages([{ type: 'thinking', thinking: 'hm' }]).history), [undefined])
  for (const data of [undefined, null, '', 7, 'not base64!']) {
    const block = { type: 'redacted_thinking', data }
    t.same(reasoningOf(messages([block]).history), [undefined], String(data))
  }
})

t.test('a sealed word is opened by itself alone', async (t) => {
  const content = { redactedContent: 'QUJD' }
  t.same(openReasoning(sealReasoning('m', content)), { model: 'm', content })
  t.equal(openReasoning(undefined), null)
})
