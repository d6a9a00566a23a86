import type { Response } from 'openai/resources/responses/responses'
import t from 'tap'
import { type AnswerWriter, toText } from '../../../src/dialects/answer/answer-writer.ts'
import type { StreamPart, Usage } from '../../../src/dialects/answer/stream-part.ts'
import type { ReplyPlan } from '../../../src/dialects/plan/plan.ts'
import { sealReasoning } from '../../../src/kiro/conversation/signed-reasoning.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { readParts, translate } from '../../helper/read-answer.ts'
import {
  createTranslator,
  type PlanChanges,
  replyPlan,
  responsesIdentity,
  type Wishes
} from '../../helper/reply-plan.ts'
import { readResponsesStream } from '../../helper/responses-grammar.ts'
import { readSse } from '../../helper/sse-messages.ts'
import { text, tool } from '../../helper/upstream-events.ts'

const usage: Usage = { inputTokens: 12, outputTokens: 5 }
const forms: PlanChanges['toolForms'] = {
  apply_patch: { kind: 'text', name: 'apply_patch' },
  functions__exec: { kind: 'text', name: 'exec', namespace: 'functions' },
  multi_agent_v1__close_agent: {
    kind: 'function',
    name: 'close_agent',
    namespace: 'multi_agent_v1'
  },
  tool_search: { kind: 'search', name: 'tool_search' }
}

function planWith(changes: Partial<PlanChanges> = {}): ReplyPlan<Wishes> {
  return replyPlan({ dialect: 'openai-responses', toolForms: forms, ...changes })
}

function translator(changes: Partial<PlanChanges> = {}): AnswerWriter {
  return createTranslator(planWith(changes), responsesIdentity)
}

function streamOf(parts: readonly StreamPart[], changes: Partial<PlanChanges> = {}): string {
  return translate(translator(changes), parts)
}

function end(reason: Extract<StreamPart, { type: 'end' }>['reason'] = 'stop'): StreamPart {
  return { type: 'end', reason, usage }
}

function call(name: string, ...pieces: readonly string[]): readonly StreamPart[] {
  return [
    { type: 'tool-start', id: `call_${name}`, name },
    ...pieces.map((json): StreamPart => ({ type: 'tool-delta', json })),
    { type: 'tool-end' }
  ]
}

const hex = '0123456789abcdef0123456789ab'

t.test('a text answer, event by event', async (t) => {
  const plan = planWith()
  const stream = translate(createTranslator(plan, responsesIdentity), readParts(plan, [text('Hi')]))
  const message = (status: string, content: object[]) => ({
    id: `msg_${hex}0000`,
    type: 'message',
    status,
    role: 'assistant',
    content
  })
  const part = { type: 'output_text', text: 'Hi', annotations: [], logprobs: [] }
  const place = { item_id: `msg_${hex}0000`, output_index: 0, content_index: 0 }
  const response = { id: responsesIdentity.id, object: 'response', created_at: 1_760_000_000 }
  const wanted = [
    ['response.created', { response: { ...response, status: 'in_progress', output: [] } }],
    ['response.in_progress', { response: { ...response, status: 'in_progress', output: [] } }],
    ['response.output_item.added', { output_index: 0, item: message('in_progress', []) }],
    ['response.content_part.added', { ...place, part: { ...part, text: '' } }],
    ['response.output_text.delta', { ...place, delta: 'Hi' }],
    ['response.output_text.done', { ...place, text: 'Hi' }],
    ['response.content_part.done', { ...place, part }],
    ['response.output_item.done', { output_index: 0, item: message('completed', [part]) }],
    [
      'response.completed',
      { response: { ...response, status: 'completed', output: [message('completed', [part])] } }
    ]
  ] as const
  const { messages } = readSse(stream)
  t.same(
    messages.map(({ event }) => event),
    wanted.map(([type]) => type)
  )
  for (const [index, [type, members]] of wanted.entries()) {
    const json = JSON.parse(messages[index]?.data ?? '{}')
    t.match(json, { type, sequence_number: index, ...members })
  }
  const { usage: told } = readResponsesStream(stream).response as { usage: object }
  t.match(told, { input_tokens: 900, output_tokens: Number, total_tokens: Number })
})

t.test('a custom tool call has the raw text', async (t) => {
  const plan = planWith()
  const parts = readParts(plan, [
    tool('tooluse_q', 'apply_patch', { input: '{"input":"*** Begin\\n"}', stop: true })
  ])
  const { output, types } = readResponsesStream(streamOf(parts))
  t.same(output, [
    {
      id: `ctc_${hex}0000`,
      type: 'custom_tool_call',
      status: 'completed',
      call_id: 'tooluse_q',
      name: 'apply_patch',
      input: '*** Begin\n'
    }
  ])
  t.ok(types.includes('response.custom_tool_call_input.delta'))
  t.ok(types.includes('response.custom_tool_call_input.done'))
})

t.test('calls look as their tools were declared', async (t) => {
  t.test('a function', async (t) => {
    const { output, types } = readResponsesStream(
      streamOf([...call('exec_command', '{"cmd":', '"ls"}'), end('tool')])
    )
    t.same(output, [
      {
        id: `fc_${hex}0000`,
        type: 'function_call',
        status: 'completed',
        call_id: 'call_exec_command',
        name: 'exec_command',
        arguments: '{"cmd":"ls"}'
      }
    ])
    t.equal(types.filter((type) => type === 'response.function_call_arguments.delta').length, 2)
  })

  t.test('a function of a namespace, which is told apart', async (t) => {
    const { output } = readResponsesStream(
      streamOf([...call('multi_agent_v1__close_agent', '{}'), end('tool')])
    )
    t.match(output, [{ name: 'close_agent', namespace: 'multi_agent_v1', arguments: '{}' }])
  })

  t.test('a custom tool of a namespace', async (t) => {
    const { output } = readResponsesStream(
      streamOf([...call('functions__exec', '{"input":"ls"}'), end('tool')])
    )
    t.match(output, [
      { type: 'custom_tool_call', name: 'exec', namespace: 'functions', input: 'ls' }
    ])
  })

  t.test('a custom tool whose arguments have no text gets them as they are', async (t) => {
    for (const json of ['{"patch":"x"}', '{"input":7}', '{}']) {
      const { output } = readResponsesStream(streamOf([...call('apply_patch', json), end('tool')]))
      t.match(output, [{ input: json }])
    }
  })

  t.test('a search for tools, whose arguments are an object', async (t) => {
    const { output, types } = readResponsesStream(
      streamOf([...call('tool_search', '{"query":', '"calendar"}'), end('tool')])
    )
    t.same(output, [
      {
        id: `tsc_${hex}0000`,
        type: 'tool_search_call',
        status: 'completed',
        execution: 'client',
        call_id: 'call_tool_search',
        arguments: { query: 'calendar' }
      }
    ])
    t.notOk(types.some((type) => type.endsWith('.delta')))
  })

  t.test('a name like a member of every object is a plain function', async (t) => {
    const { output } = readResponsesStream(streamOf([...call('constructor', '{}'), end('tool')]))
    t.match(output, [{ type: 'function_call', name: 'constructor' }])
  })
})

t.test('a call that broke off is never done', async (t) => {
  const parts: readonly StreamPart[] = [
    { type: 'text', text: 'Let me.' },
    ...call('exec_command', '{"cmd":"ls"}'),
    { type: 'tool-start', id: 'c2', name: 'functions__exec' },
    { type: 'tool-delta', json: '{"input":"rm -rf /tmp/' },
    { type: 'tool-end', isCut: true },
    end('tool')
  ]
  const { response, output, doneIds, types } = readResponsesStream(streamOf(parts))
  t.match(response, { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } })
  t.same(
    output.map(({ status }) => status),
    ['completed', 'completed', 'incomplete']
  )
  t.equal(output[2]?.['input'], 'rm -rf /tmp/')
  t.same(doneIds, [`msg_${hex}0000`, `fc_${hex}0001`])
  t.notOk(types.includes('response.custom_tool_call_input.done'))
  const writer = translator()
  translate(writer, parts)
  t.same([...(writer.keptItems ?? new Map()).keys()], doneIds, 'and nobody can refer to it')
})

t.test('a search for tools that broke off has its arguments as text', async (t) => {
  const { output } = readResponsesStream(
    streamOf([
      { type: 'tool-start', id: 'c', name: 'tool_search' },
      { type: 'tool-delta', json: '{"quer' },
      { type: 'tool-end', isCut: true },
      end('length')
    ])
  )
  t.match(output, [{ status: 'incomplete', arguments: '{"quer' }])
})

t.test('reasoning', async (t) => {
  const parts: readonly StreamPart[] = [
    { type: 'reasoning', text: 'Two ' },
    { type: 'reasoning', text: 'cities.' },
    { type: 'signature', signature: 'c2ln' },
    { type: 'redacted', content: { redactedContent: 'b3BhcXVl' } },
    { type: 'reasoning', text: 'More.' },
    { type: 'text', text: 'Oslo' },
    end()
  ]
  const { output, types } = readResponsesStream(streamOf(parts))
  t.match(output, [
    {
      summary: [{ type: 'summary_text', text: 'Two cities.' }],
      encrypted_content: sealReasoning('claude-haiku-4.5', {
        reasoningText: { text: 'Two cities.', signature: 'c2ln' }
      })
    },
    {
      type: 'reasoning',
      summary: [],
      encrypted_content: sealReasoning('claude-haiku-4.5', { redactedContent: 'b3BhcXVl' })
    },
    { summary: [{ text: 'More.' }] },
    { type: 'message' }
  ])
  t.notHas(output[2], { encrypted_content: String })
  t.same(types.slice(2, 9), [
    'response.output_item.added',
    'response.reasoning_summary_part.added',
    'response.reasoning_summary_text.delta',
    'response.reasoning_summary_text.delta',
    'response.reasoning_summary_text.done',
    'response.reasoning_summary_part.done',
    'response.output_item.done'
  ])
})

t.test('a web search of the gateway', async (t) => {
  const results = [{ title: 'Oslo', url: 'https://example.com/oslo', snippet: 'A city' }]
  const { output, types } = readResponsesStream(
    streamOf([
      { type: 'text', text: 'Let me look.' },
      { type: 'search', id: 'ab'.repeat(16), query: 'oslo', results },
      { type: 'search', id: 'cd'.repeat(16), query: 'rain', results: [], problem: 'no answer' },
      end()
    ])
  )
  t.match(output[1], {
    id: `ws_${hex}0001`,
    type: 'web_search_call',
    status: 'completed',
    action: {
      type: 'search',
      query: 'oslo',
      queries: ['oslo'],
      sources: [{ type: 'url', url: 'https://example.com/oslo' }]
    }
  })
  t.match(output[2], { id: `ws_${hex}0002`, status: 'failed' })
  t.equal(types.filter((type) => type === 'response.web_search_call.completed').length, 1)
})

t.test('how it ends', async (t) => {
  for (const [reason, status, why] of [
    ['stop', 'completed', null],
    ['tool', 'completed', null],
    ['stop-sequence', 'completed', null],
    ['pause', 'completed', null],
    ['length', 'incomplete', 'max_output_tokens'],
    ['context', 'incomplete', 'max_output_tokens'],
    ['filter', 'incomplete', 'content_filter']
  ] as const) {
    const { response, output } = readResponsesStream(
      streamOf([{ type: 'text', text: 'x' }, end(reason)])
    )
    t.match(response, { status, incomplete_details: why === null ? null : { reason: why } }, reason)
    t.match(output, [{ status }], 'as does its last item')
  }
  const empty = readResponsesStream(streamOf([end()]))
  t.same(empty.types, ['response.created', 'response.in_progress', 'response.completed'])
})

t.test('usage counts cached tokens as a part of the input', async (t) => {
  const all = {
    ...usage,
    cacheReadTokens: 100,
    cacheWriteTokens: 10,
    reasoningTokens: 3,
    credits: 0.5
  }
  const { response } = readResponsesStream(streamOf([{ type: 'end', reason: 'stop', usage: all }]))
  t.same(response['usage'], {
    input_tokens: 122,
    input_tokens_details: { cached_tokens: 100, cache_write_tokens: 10 },
    output_tokens: 5,
    output_tokens_details: { reasoning_tokens: 3 },
    total_tokens: 127,
    credits_used: 0.5
  })
})

/** Members that the SDK's type has without a question mark; `output_text` is the SDK's own. */
type Due = Exclude<
  { [K in keyof Response]-?: object extends Pick<Response, K> ? never : K }[keyof Response],
  'output_text'
>
const DUE: Readonly<Record<Due, true>> = {
  id: true,
  access_programs: true,
  created_at: true,
  error: true,
  incomplete_details: true,
  instructions: true,
  metadata: true,
  model: true,
  object: true,
  output: true,
  parallel_tool_calls: true,
  temperature: true,
  tool_choice: true,
  tools: true,
  top_p: true
}

t.test('the response has all that the SDK does not expect to be missing', async (t) => {
  const { response } = readResponsesStream(streamOf([end()]))
  for (const name of Object.keys(DUE)) t.ok(name in response, name)
})

t.test('the response repeats members of the request, but never its own', async (t) => {
  const mine = { id: '"mine"', status: '"queued"', output: '[1]' }
  const echo = { metadata: '{"a":"b"}', temperature: '0.5', ...mine }
  const { response } = readResponsesStream(streamOf([end()], { echo, keepsItems: true }))
  t.match(response, { metadata: { a: 'b' }, temperature: 0.5, tool_choice: 'auto', store: true })
  t.match(response, { id: responsesIdentity.id, status: 'completed', output: [] })
})

t.test('a failure', async (t) => {
  const begun: readonly StreamPart[] = [
    ...call('exec_command', '{"cmd":"ls"}'),
    { type: 'text', text: 'Hal' }
  ]
  t.test('ends the stream as failed, with what was there, and nothing after it', async (t) => {
    const writer = translator()
    const stream = translate(writer, begun) + writer.fail(new GatewayError('GW_UPSTREAM_RESET'))
    const { response, output, doneIds } = readResponsesStream(stream)
    t.match(response, { status: 'failed', error: { code: 'server_error' } })
    t.match(output, [{ status: 'completed' }, { status: 'incomplete', content: [{ text: 'Hal' }] }])
    t.equal(doneIds.length, 1)
    t.equal(writer.heartbeat(), '')
    t.notMatch(stream, /response\.completed|\[DONE\]/)
  })

  t.test('before the first part, after a heartbeat, is a whole stream', async (t) => {
    const writer = translator()
    const stream = writer.heartbeat() + writer.fail(new Error('secret'))
    const { types, response, comments } = readResponsesStream(stream)
    t.same(types, ['response.created', 'response.in_progress', 'response.failed'])
    t.equal(comments, 1)
    t.match(response['error'], { code: 'server_error', message: /The gateway failed/ })
    t.notMatch(stream, /secret/)
  })

  for (const [code, told, message] of [
    ['GW_CONTEXT_OVERFLOW', 'context_length_exceeded', /context/],
    ['GW_UPSTREAM_RATE_LIMITED', 'rate_limit_exceeded', /Please try again in 3s\.$/],
    ['GW_UPSTREAM_QUOTA', 'insufficient_quota', /quota/],
    ['GW_UPSTREAM_REFUSED', 'invalid_prompt', /refused/],
    ['GW_UPSTREAM_OVERLOADED', 'server_error', /overloaded/],
    ['GW_UPSTREAM_IDLE_TIMEOUT', 'server_error', /sent nothing/],
    ['GW_CLIENT_STALLED', 'server_error', /read/]
  ] as const) {
    t.test(`of ${code} is ${told}`, async (t) => {
      const { response } = readResponsesStream(toText(translator().fail(new GatewayError(code))))
      t.match(response['error'], { code: told, message })
    })
  }

  t.test('says when to come back, as exactly as is known', async (t) => {
    const error = new GatewayError('GW_UPSTREAM_RATE_LIMITED', '', { retryAfterS: 1.5 })
    const { response } = readResponsesStream(toText(translator().fail(error)))
    t.match(response['error'], { message: /try again in 1\.5s\.$/ })
  })
})
