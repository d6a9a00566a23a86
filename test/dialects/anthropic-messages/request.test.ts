import t from 'tap'
import { convert, refusalOf } from '../../helper/convert.ts'
import { requestOptions, simulatorOptions } from '../../helper/request-options.ts'
import { flatPlan } from '../../helper/reply-plan.ts'

const PNG = 'iVBORw0KGgoAAAANSUhEUg=='
const USER = { role: 'user', content: 'hi' }
const TOOL = { name: 'f', description: 'F', input_schema: { type: 'object', properties: {} } }
const CALL = { type: 'tool_use', id: 't1', name: 'f', input: {} }

t.test('a Messages body that is not valid is refused by name', async (t) => {
  const refusals: readonly (readonly [object, string])[] = [
    [{ messages: 7 }, 'messages: must be an array, not 7'],
    [{ messages: [] }, 'messages: must not be empty'],
    [{ system: 7 }, 'system: must be a string or an array, not 7'],
    [
      { thinking: { type: 'maybe' } },
      'thinking.type: must be "enabled" or "adaptive" or "between_tools" or "disabled", not "maybe"'
    ],
    [
      { tool_choice: { type: 'tool' } },
      'tool_choice.name: is required: it names the tool that must be called'
    ],
    [{ tools: [{ description: 'x' }] }, 'tools[0].name: is required'],
    [{ max_tokens: 'many' }, 'max_tokens: must be an integer, not "many"'],
    [
      { messages: [{ role: 'user', content: [{ type: 'tool_use', id: 'x' }] }] },
      'messages[0].content[0].name: is required'
    ],
    [
      {
        messages: [
          { role: 'user', content: [{ type: 'tool_result', content: [{ type: 'text', text: 1 }] }] }
        ]
      },
      'messages[0].content[0].content[0].text: must be a string, not 1'
    ],
    [
      {
        messages: [
          { role: 'user', content: [{ type: 'image', source: { type: 'file', file_id: 'x' } }] }
        ]
      },
      'messages[0].content[0].source.type: must be "base64"; uploaded files are not supported'
    ]
  ]
  for (const [more, message] of refusals) {
    const request = { model: 'auto', messages: [USER], ...more }
    t.match(refusalOf('anthropic-messages', request), { code: 'GW_BODY_INVALID', message })
  }
})

t.test('message threads are refused in the way that makes the SDK go on without', async (t) => {
  for (const thread of [{ type: 'create' }, { type: 'continue', previous_message_id: 'msg_1' }]) {
    t.match(refusalOf('anthropic-messages', { model: 'auto', messages: [USER], thread }), {
      code: 'GW_BODY_INVALID',
      status: 400,
      param: 'thread',
      details: { error_code: 'thread_unsupported_request', unsupported: ['thread'] }
    })
  }
})

t.test('a reminder for one turn is not repeated for the rest of the session', async (t) => {
  const reminder = { role: 'system', content: 'ONCE', clear_at: 'next_user_message' }
  const answer = { role: 'assistant', content: 'ok' }
  const cases: readonly (readonly [isSaid: boolean, messages: readonly object[]])[] = [
    [true, [USER, reminder]],
    [true, [USER, reminder, answer]],
    [false, [USER, reminder, answer, USER]],
    [true, [USER, { ...reminder, clear_at: 'never' }, answer, USER]]
  ]
  for (const [isSaid, messages] of cases) {
    const { payload } = convert('anthropic-messages', { model: 'auto', messages })
    t.equal(JSON.stringify(payload).includes('ONCE'), isSaid)
  }
})

t.test('thinking between tools is thinking as the model sees fit', async (t) => {
  const [between, adaptive] = ['between_tools', 'adaptive'].map((type) =>
    convert(
      'anthropic-messages',
      { model: 'claude-opus-5', messages: [USER], thinking: { type } },
      simulatorOptions()
    )
  )
  t.same(between?.payload, adaptive?.payload)
  t.equal(between?.plan.reasoning, 'native')
})

t.test('a request of Claude Code becomes what it means', async (t) => {
  const request = {
    model: 'claude-opus-4-8',
    max_tokens: 32_000,
    stream: true,
    system: [
      {
        type: 'text',
        text: 'x-anthropic-billing-header: cc_version=2.1.331.4d4; cc_entrypoint=sdk-cli;'
      },
      { type: 'text', text: 'You are an agent.', cache_control: { type: 'ephemeral' } }
    ],
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: '<a>\n' },
          { type: 'text', text: 'go' }
        ]
      },
      { role: 'system', content: '# Environment', output_config: { effort: 'low' } },
      {
        role: 'assistant',
        content: [{ type: 'thinking', thinking: 'hm', signature: 'any' }, CALL]
      },
      {
        role: 'user',
        content: [
          {
            type: 'tool_result',
            tool_use_id: 't1',
            content: [{ type: 'tool_reference', tool_name: 'WebSearch' }],
            cache_control: { type: 'ephemeral' }
          }
        ]
      }
    ],
    tools: [
      TOOL,
      { name: 'WebSearch', input_schema: {}, defer_loading: true },
      { name: 'DeferredToolPlaceholder', input_schema: {}, defer_loading: true },
      { type: 'web_search_20250305', name: 'web_search', max_uses: 8 },
      { type: 'code_execution_20250825', name: 'code_execution' }
    ],
    thinking: { type: 'adaptive', display: 'omitted' },
    output_config: { effort: 'high' },
    context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
    metadata: { user_id: '{"device_id":"d","session_id":"s-1"}' },
    safeguards: [{ type: 'dangerous_tool_use' }]
  }
  const { payload, plan, history, tools, toolResults } = convert('anthropic-messages', request)
  t.match(history[0], {
    userInputMessage: { content: 'You are an agent.\n\n<a>\ngo\n# Environment' }
  })
  t.same(
    tools.map(({ name }) => name),
    ['web_search', 'f', 'WebSearch']
  )
  t.match(toolResults, [{ content: [{ text: 'The tool "WebSearch" is available now.' }] }])
  t.same(payload.additionalModelRequestFields, {
    thinking: { type: 'adaptive' },
    output_config: { effort: 'high' }
  })
  t.match(flatPlan(plan), {
    isStream: true,
    reasoning: 'native',
    contextWindow: 1_000_000
  })
  t.same(plan.repairs.toSorted(), [
    'server-tool-dropped',
    'system-as-user',
    'tool-description-filled',
    'tool-placeholder-dropped',
    'tool-schema-typed',
    'turns-merged'
  ])
  const later = convert('anthropic-messages', { ...request, messages: [USER] })
  t.equal(
    later.payload.conversationState.conversationId,
    payload.conversationState.conversationId,
    'one session, one id'
  )
})

t.test('sessions are known by the forms of metadata.user_id', async (t) => {
  const uuid = '0b1c9a1e-5b1f-4a39-9d57-1b1e8f5f3f10'
  t.equal(idOf(`user_x_account__session_${uuid}`), idOf(`{"session_id":"${uuid}"}`))
  t.equal(idOf('{"no":"session"}'), idOf('{"no":"session"}'))
  t.not(idOf('{broken'), idOf('someone'))
})

t.test('documents', async (t) => {
  const office = {
    type: 'document',
    source: { type: 'base64', media_type: 'application/msword', data: '0M8R4A==' }
  }

  t.test('that are neither text nor PDF are refused', async (t) => {
    const request = { model: 'auto', messages: [{ role: 'user', content: [office] }] }
    t.match(refusalOf('anthropic-messages', request), {
      code: 'GW_BODY_INVALID',
      message: /^messages\[0\]\.content\[0\]\.source: only PDF and text documents/
    })
  })

  t.test('that cannot be read do not end a session that has one in a tool result', async (t) => {
    const { toolResults, plan } = convert('anthropic-messages', {
      model: 'auto',
      tools: [TOOL],
      messages: [
        USER,
        { role: 'assistant', content: [CALL] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: [office] }] }
      ]
    })
    t.match(toolResults[0]?.content[0].text, /cannot be read here/)
    t.same(plan.repairs, ['document-omitted'])
  })
})

t.test('results and calls that do not meet', async (t) => {
  t.test('keep the first of two results and the longest of two calls', async (t) => {
    const { history, current, toolResults, plan } = convert('anthropic-messages', {
      model: 'auto',
      tools: [TOOL],
      messages: [
        USER,
        { role: 'assistant', content: [CALL, { ...CALL, input: { long: true } }] },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 't1', content: 'one' },
            { type: 'tool_result', tool_use_id: 't1', content: 'two' }
          ]
        }
      ]
    })
    t.match(history[1], {
      assistantResponseMessage: { toolUses: [{ toolUseId: 't1', input: { long: true } }] }
    })
    t.match(toolResults, [{ content: [{ text: 'one' }] }])
    t.equal(current.content, '[Tool Result (t1)]\ntwo')
    t.same(plan.repairs, ['call-duplicate', 'result-duplicate'])
  })

  t.test('make text of calls of tools that are not on offer, and of their results', async (t) => {
    const { history, current, plan } = convert('anthropic-messages', {
      model: 'auto',
      tools: [TOOL],
      messages: [
        USER,
        { role: 'assistant', content: [{ ...CALL, name: 'gone' }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: 'one' }] }
      ]
    })
    t.match(history[1], { assistantResponseMessage: { content: '[Tool: gone (t1)]\n{}' } })
    t.equal(current.content, '[Tool Result (t1)]\none')
    t.same(plan.repairs, ['tool-undeclared'])
  })
})

t.test('an echoed placeholder is taken out of the history', async (t) => {
  const { history, plan } = convert('anthropic-messages', {
    model: 'auto',
    messages: [USER, { role: 'assistant', content: '(empty placeholder)' }, USER]
  })
  t.match(history[1], { assistantResponseMessage: { content: ' ' } })
  t.same(plan.repairs, ['placeholder-removed'])
})

t.test('long tool descriptions move to the system text', async (t) => {
  const options = requestOptions({ toolDescriptionMaxLength: 10 })
  const tools = [
    { ...TOOL, description: 'x'.repeat(10) },
    { ...TOOL, name: 'g', description: 'y'.repeat(11) }
  ]
  const request = { model: 'auto', system: 'S', tools, messages: [USER] }
  const { current, tools: sent, plan } = convert('anthropic-messages', request, options)
  t.equal(current.content, `S\n\n## Tool: g\n\n${'y'.repeat(11)}\n\nhi`)
  t.same(
    sent.map(({ description }) => description),
    ['x'.repeat(10), 'Full description is in the system prompt under "Tool: g".']
  )
  t.same(plan.repairs, ['tool-description-moved'])
})

t.test('images for a model that takes none are named, not dropped in silence', async (t) => {
  const blind = { id: 'glm-5', name: 'GLM', maxInputTokens: 128_000, takesImages: false }
  const options = requestOptions({ models: [blind], isCatalogueLive: true })
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG } }
  const request = { model: 'glm-5', messages: [{ role: 'user', content: [image] }] }
  const { current, plan } = convert('anthropic-messages', request, options)
  t.equal(current.content, '[1 image left out: this model takes no images.]')
  t.notOk('images' in current)
  t.same(plan.repairs, ['image-omitted'])
})

t.test('the estimate of tokens', async (t) => {
  t.ok(tokensOf('hi') < 20, 'is small for small requests')
  const words = 'the quick brown fox jumps over the lazy dog '.repeat(1000)
  t.ok(Math.abs(tokensOf(words) / 11_000 - 1) < 0.2, 'is near the truth for prose')
  const image = {
    type: 'image',
    source: { type: 'base64', media_type: 'image/png', data: `iVBORw0KGgoA${'A'.repeat(1e6)}` }
  }
  const withImage = convert('anthropic-messages', {
    model: 'auto',
    messages: [{ role: 'user', content: [image] }]
  })
  t.ok(withImage.plan.inputTokens < 1600, 'counts an image as an image, not as text')
})

function idOf(userId: string) {
  return convert('anthropic-messages', {
    model: 'auto',
    messages: [USER],
    metadata: { user_id: userId }
  }).payload.conversationState.conversationId
}

function tokensOf(content: string) {
  return convert('anthropic-messages', { model: 'auto', messages: [{ role: 'user', content }] })
    .plan.inputTokens
}
