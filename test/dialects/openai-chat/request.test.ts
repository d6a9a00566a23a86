import t from 'tap'
import { convert, refusalOf } from '../../helper/convert.ts'
import { requestOptions } from '../../helper/request-options.ts'
import { flatPlan } from '../../helper/reply-plan.ts'

const USER = { role: 'user', content: 'hi' }
const PNG = 'iVBORw0KGgoAAAANSUhEUg=='

t.test('a Chat Completions body that is not valid is refused by name', async (t) => {
  const refusals: readonly (readonly [string, unknown, string])[] = [
    ['no JSON', '{"model":', 'The request body is not valid JSON.'],
    ['nothing', '', 'The request body is not valid JSON.'],
    ['a list', '[]', 'The request body must be a JSON object.'],
    ['no model', { messages: [USER] }, 'model: is required'],
    ['an empty model', { model: '', messages: [USER] }, 'model: must not be empty'],
    ['no messages', { model: 'auto' }, 'messages: is required'],
    ['empty messages', { model: 'auto', messages: [] }, 'messages: must not be empty'],
    ['messages as text', { model: 'auto', messages: 'hi' }, 'messages: must be an array, not "hi"'],
    [
      'a number as content',
      { model: 'auto', messages: [USER, { role: 'user', content: 7 }] },
      'messages[1].content: must be a string or an array, not 7'
    ],
    [
      'a number among blocks',
      { model: 'auto', messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, 7] }] },
      'messages[0].content[1]: must be a string or an object, not 7'
    ],
    [
      'a text block without text',
      { model: 'auto', messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      'messages[0].content[0].text: is required'
    ],
    [
      'a call without a name',
      { model: 'auto', messages: [{ role: 'assistant', tool_calls: [{ function: {} }] }] },
      'messages[0].tool_calls[0].function.name: is required'
    ],
    [
      'a tool without a name',
      { model: 'auto', messages: [USER], tools: [{ type: 'function', function: {} }] },
      'tools[0].function.name: is required'
    ],
    [
      'two answers',
      { model: 'auto', messages: [USER], n: 2 },
      'n: must be 1: one answer at a time is supported'
    ],
    [
      'an unknown tool choice',
      { model: 'auto', messages: [USER], tool_choice: 'sometimes' },
      'tool_choice: must be "none" or "auto" or "required" or "any" or an object, not "sometimes"'
    ],
    [
      'a wrong stop',
      { model: 'auto', messages: [USER], stop: [1] },
      'stop[0]: must be a string, not 1'
    ],
    [
      'negative max_tokens',
      { model: 'auto', messages: [USER], max_tokens: -1 },
      'max_tokens: must be at least 0'
    ]
  ]
  for (const [name, request, message] of refusals) {
    t.match(refusalOf('openai-chat', request), { code: 'GW_BODY_INVALID', message }, name)
  }

  t.test('with the part at fault as param', async (t) => {
    t.match(refusalOf('openai-chat', { model: 'auto', messages: [{ content: 7 }] }), {
      param: 'messages[0].content'
    })
  })
})

t.test('a Chat Completions body with content that cannot be sent is refused', async (t) => {
  const parts: readonly (readonly [unknown, RegExp])[] = [
    [{ type: 'image_url', image_url: { url: 'data:image/bmp;base64,Qk0=' } }, /only PNG, JPEG/],
    [{ type: 'image_url', image_url: { url: 'data:image/png;base64,' } }, /image is empty/],
    [{ type: 'image_url', image_url: { url: 'picture' } }, /must be a data URL/],
    [{ type: 'input_audio', input_audio: {} }, /audio is not supported/],
    [{ type: 'file', file: {} }, /only PDF and text files/]
  ]
  for (const [part, message] of parts) {
    const request = { model: 'auto', messages: [{ role: 'user', content: [part] }] }
    t.match(refusalOf('openai-chat', request), { code: 'GW_BODY_INVALID', message })
  }
})

t.test('tells usage in a stream only when asked, else always', async (t) => {
  t.equal(usageOf({}), true)
  t.equal(usageOf({ stream: true }), false)
  t.equal(usageOf({ stream: true, stream_options: null }), false)
})

t.test('repairs of Chat Completions conversations', async (t) => {
  t.test('takes an unknown role for the user', async (t) => {
    const { current, plan } = convert('openai-chat', {
      model: 'auto',
      messages: [{ role: 'robot', content: 'beep' }]
    })
    t.equal(current.content, 'beep')
    t.same(plan.repairs, ['role-unknown'])
  })

  t.test('fills what is blank', async (t) => {
    for (const content of ['', ' \n', null, []]) {
      const { current, plan } = convert('openai-chat', {
        model: 'auto',
        messages: [{ role: 'user', content }]
      })
      t.equal(current.content, 'Continue.')
      t.same(plan.repairs, ['turn-blank'])
    }
  })

  t.test('wraps arguments that are no object, losing nothing', async (t) => {
    const inputs: unknown[] = []
    for (const args of ['{"cut": "of', '[1]', '"x"', '', { a: 1 }, null]) {
      const { history } = convert('openai-chat', {
        model: 'auto',
        tools: [{ function: { name: 'f' } }],
        messages: [
          USER,
          {
            role: 'assistant',
            tool_calls: [{ id: 'c', function: { name: 'f', arguments: args } }]
          },
          { role: 'tool', tool_call_id: 'c', content: 'done' }
        ]
      })
      const [, entry] = history
      if (entry !== undefined && 'assistantResponseMessage' in entry) {
        inputs.push(entry.assistantResponseMessage.toolUses?.[0]?.input)
      }
    }
    t.same(inputs, [{ _raw: '{"cut": "of' }, { value: [1] }, { value: 'x' }, {}, { a: 1 }, {}])
  })

  t.test(
    'shortens long names, drops the second of two, tells apart what clean-up made equal',
    async (t) => {
      const long = 'n'.repeat(65)
      const { tools, plan } = convert('openai-chat', {
        model: 'auto',
        messages: [USER],
        tools: [long, long, 'a.b', 'a_b', 'constructor'].map((name) => ({ function: { name } }))
      })
      t.equal(tools.length, 4)
      t.equal(new Set(tools.map(({ name }) => name)).size, 4)
      t.equal(tools[0]?.name.length, 63)
      t.equal(plan.toolNames[tools[0]?.name ?? ''], long)
      t.equal(plan.toolNames['a_b'], 'a.b')
      t.equal(plan.toolNames[tools[2]?.name ?? ''], 'a_b')
      t.notOk(Object.hasOwn(plan.toolNames, 'constructor'))
      t.ok(plan.repairs.includes('tool-duplicate-dropped'))
    }
  )

  t.test('keeps two ids apart that clean-up made equal', async (t) => {
    const { toolResults } = convert('openai-chat', {
      model: 'auto',
      tools: [{ function: { name: 'f' } }],
      messages: [
        USER,
        { role: 'assistant', tool_calls: [call('a b'), call('a_b'), call('')] },
        { role: 'tool', tool_call_id: 'a_b', content: 'second' },
        { role: 'tool', tool_call_id: 'a b', content: 'first' },
        { role: 'tool', content: 'third' }
      ]
    })
    t.same(
      toolResults.map(({ content }) => content[0].text),
      ['first', 'second', 'third']
    )
    t.same(new Set(toolResults.map(({ status }) => status)), new Set(['success']))
  })

  t.test('drops tools that only the vendor can run', async (t) => {
    const { tools, plan } = convert('openai-chat', {
      model: 'auto',
      messages: [USER],
      tools: [{ type: 'file_search' }, { type: 'function', name: 'flat', parameters: {} }]
    })
    t.same(
      tools.map(({ name }) => name),
      ['flat']
    )
    t.ok(plan.repairs.includes('server-tool-dropped'))
  })

  t.test('sends the newest ten images and says what it left out', async (t) => {
    const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}` } }
    const { current, plan } = convert('openai-chat', {
      model: 'auto',
      messages: [{ role: 'user', content: Array.from({ length: 12 }, () => image) }]
    })
    t.equal(current.images?.length, 10)
    t.match(current.content, /2 images left out/)
    t.same(plan.repairs, ['image-limit'])
  })
})

t.test('images are what their bytes say, whatever their type says', async (t) => {
  t.equal(formatOf(`data:image/jpeg;base64,${PNG}`), 'png')
  t.equal(formatOf('data:image/png;base64,/9j/4AAQSkZJRg=='), 'jpeg')
  t.equal(formatOf('data:;base64,R0lGODlhAQABAAAAACw='), 'gif')
  t.equal(formatOf('data:application/octet-stream;base64,UklGRiQAAABXRUJQVlA4'), 'webp')
  t.equal(formatOf('data:image/JPG;charset=x;base64,/9j/4AAQSkZJRg=='), 'jpeg')
})

t.test('tool choice is put into words', async (t) => {
  t.equal(contentOf('auto').current.content, 'hi')
  t.match(contentOf('required').current.content, /at least one of the available tools[^]*\n\nhi$/)
  const named = contentOf({ type: 'function', function: { name: 'g' } })
  t.match(named.current.content, /exactly the tool "g"/)
  t.equal(named.tools.length, 2, 'history may need the others')
  t.equal(contentOf('none').tools.length, 0)
  t.same(contentOf({ type: 'function', name: 'h' }).plan.repairs.at(-1), 'tool-choice-dropped')
  const allowed = {
    type: 'allowed_tools',
    allowed_tools: { mode: 'required', tools: [{ function: { name: 'f' } }] }
  }
  t.same(
    contentOf(allowed).tools.map(({ name }) => name),
    ['f']
  )
})

t.test('JSON answers are asked for in words', async (t) => {
  const { current, plan } = convert('openai-chat', {
    model: 'auto',
    messages: [USER],
    response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'array' } } }
  })
  t.ok(plan.asked.isJsonAnswer)
  t.match(current.content, /must match this JSON Schema:\n\{"type":"array"\}\n\nhi$/)
})

t.test('legacy functions work like tools', async (t) => {
  const { history, toolResults } = convert('openai-chat', {
    model: 'auto',
    functions: [{ name: 'f', parameters: { type: 'object', properties: {} } }],
    messages: [
      USER,
      { role: 'assistant', content: null, function_call: { name: 'f', arguments: '{"x":1}' } },
      { role: 'function', name: 'f', content: 'one' }
    ]
  })
  t.match(history[1], {
    assistantResponseMessage: { toolUses: [{ toolUseId: 'call_1', name: 'f', input: { x: 1 } }] }
  })
  t.match(toolResults, [{ toolUseId: 'call_1', content: [{ text: 'one' }] }])
})

t.test('who offers functions alone is answered in their words', async (t) => {
  const functions = [{ name: 'f' }]
  const { plan } = convert('openai-chat', { model: 'auto', messages: [USER], functions })
  t.match(flatPlan(plan), { isLegacyCall: true, isSingleToolCall: true })
  const tools = [{ type: 'function', function: { name: 'g' } }]
  const both = convert('openai-chat', { model: 'auto', messages: [USER], functions, tools })
  t.match(flatPlan(both.plan), { isLegacyCall: false, isSingleToolCall: false })
})

t.test('an unknown model is 404 with a live catalogue', async (t) => {
  const options = requestOptions({ isCatalogueLive: true })
  t.match(refusalOf('openai-chat', { model: 'glm-9', messages: [USER] }, options), {
    code: 'GW_MODEL_UNKNOWN',
    status: 404,
    param: 'model'
  })
  const { plan } = convert('openai-chat', { model: 'claude-opus-5-9', messages: [USER] }, options)
  t.equal(plan.upstreamModel, 'claude-opus-5.5')
  t.same(plan.repairs, ['model-substituted'])
  const gpt = convert('openai-chat', { model: 'gpt-4o-mini', messages: [USER] }, options).plan
  t.equal(gpt.upstreamModel, 'gpt-5.6-luna')
  t.equal(gpt.asked.model, 'gpt-4o-mini', 'the answer has the name that was asked for')
  t.same(gpt.repairs, ['model-substituted'], 'and the header says so')
})

t.test('one session has one conversation id', async (t) => {
  t.equal(idOf({}), idOf({}))
  t.equal(
    idOf({ prompt_cache_key: 's1' }),
    idOf({ prompt_cache_key: 's1', messages: [{ role: 'user', content: 'x' }] })
  )
  t.not(idOf({ prompt_cache_key: 's1' }), idOf({ prompt_cache_key: 's2' }))
})

function usageOf(more: object) {
  return convert('openai-chat', { model: 'auto', messages: [USER], ...more }).plan.asked.own
    .wantsUsage
}

function call(id: string) {
  return { id, function: { name: 'f', arguments: '{}' } }
}

function formatOf(url: string) {
  const request = {
    model: 'auto',
    messages: [{ role: 'user', content: [{ type: 'image_url', image_url: url }] }]
  }
  return convert('openai-chat', request).current.images?.[0]?.format
}

function contentOf(choice: unknown) {
  return convert('openai-chat', {
    model: 'auto',
    messages: [USER],
    tools: [{ function: { name: 'f' } }, { function: { name: 'g' } }],
    tool_choice: choice
  })
}

function idOf(more: object) {
  return convert('openai-chat', { model: 'auto', messages: [USER], ...more }).payload
    .conversationState.conversationId
}

t.test(
  'a custom tool that must be called is left out like any custom tool, not a 400',
  async (t) => {
    const { plan, tools } = convert('openai-chat', {
      model: 'auto',
      messages: [USER],
      tools: [{ type: 'custom', custom: { name: 'patch', description: 'Patches.' } }],
      tool_choice: { type: 'custom', custom: { name: 'patch' } }
    })
    t.same(tools, [])
    t.equal(plan.rounds, null)
    t.same(plan.repairs, ['server-tool-dropped', 'tool-choice-dropped'])
  }
)
