import t from 'tap'
import { toErrorReply } from '../../../src/dialects/dialect.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { convert as convertAny, refusalOf as refusalOfAny } from '../../helper/convert.ts'
import { flatPlan } from '../../helper/reply-plan.ts'

const USER = { role: 'user', content: 'hi' }
const PNG = 'iVBORw0KGgoAAAANSUhEUg=='

t.test('a Responses body that is not one is refused with the part at fault', async (t) => {
  const refusals: readonly (readonly [string, unknown, string])[] = [
    ['no JSON', '{', 'The request body is not valid JSON.'],
    ['an empty model', { model: '', input: 'hi' }, 'model: must not be empty'],
    ['no input', { model: 'auto' }, 'input: is required'],
    ['an input of nothing', { model: 'auto', input: [] }, 'input: must not be empty'],
    ['an input of another type', { model: 'auto', input: 7 }, 'input: must be'],
    ['an item of another type', body([7]), 'input[0]: must be a string or an object, not 7'],
    ['an item type', body([{ type: 7 }]), 'input[0].type: must be a string, not 7'],
    ['a role', body([{ role: 7 }]), 'input[0].role: must be a string, not 7'],
    ['content', body([USER, { role: 'user', content: 7 }]), 'input[1].content: must be'],
    [
      'a text part',
      body([{ role: 'user', content: [{ type: 'input_text', text: 7 }] }]),
      'input[0].content[0].text: must be a string, not 7'
    ],
    ['a bare part', body([USER, { type: 'input_text' }]), 'input[1].text: is required'],
    ['a call without name', body([{ type: 'function_call' }]), 'input[0].name: is required'],
    [
      'a custom call with an object',
      body([{ type: 'custom_tool_call', name: 'x', input: {} }]),
      'input[0].input: must be a string, not an object'
    ],
    [
      'a call id',
      body([{ type: 'function_call_output', call_id: 7 }]),
      'input[0].call_id: must be a string, not 7'
    ],
    [
      'tools of an item',
      body([{ type: 'additional_tools', tools: [{ type: 'custom' }] }]),
      'input[0].tools[0].name: is required'
    ],
    ['tools', { model: 'auto', input: 'hi', tools: {} }, 'tools: must be an array'],
    ['a tool', { model: 'auto', input: 'hi', tools: [7] }, 'tools[0]: must be an object, not 7'],
    [
      'a function in a namespace',
      {
        model: 'auto',
        input: 'hi',
        tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'function', name: 7 }] }]
      },
      'tools[0].tools[0].name: must be a string, not 7'
    ],
    ['stream', { model: 'auto', input: 'hi', stream: 'yes' }, 'stream: must be a boolean'],
    [
      'max_output_tokens',
      { model: 'auto', input: 'hi', max_output_tokens: -1 },
      'max_output_tokens: must be at least 0'
    ],
    ['instructions', { model: 'auto', input: 'hi', instructions: [] }, 'instructions: must be'],
    ['metadata', { model: 'auto', input: 'hi', metadata: 'x' }, 'metadata: must be an object'],
    [
      'tool_choice',
      { model: 'auto', input: 'hi', tool_choice: 'often' },
      'tool_choice: must be "none" or "auto" or "required" or "any" or an object, not "often"'
    ],
    [
      'a nameless choice',
      { model: 'auto', input: 'hi', tool_choice: { type: 'function' } },
      'tool_choice.name: is required'
    ],
    [
      'a schema that is none',
      { model: 'auto', input: 'hi', text: { format: { type: 'json_schema', schema: 7 } } },
      'text.format.schema: must be'
    ],
    ['text', { model: 'auto', input: 'hi', text: { format: 'json' } }, 'text.format: must be']
  ]
  for (const [name, request, message] of refusals) {
    const error = refusalOf(request)
    t.match(error, { code: 'GW_BODY_INVALID', status: 400 }, name)
    t.ok(error.message.startsWith(message), `${name}: ${error.message}`)
    if (message.includes(': ')) t.equal(error.param, message.slice(0, message.indexOf(': ')), name)
  }
})

t.test('what is kept on a server of OpenAI is refused, never ignored', async (t) => {
  const refusal = refusalOf({ ...body('hi'), previous_response_id: 'resp_1' })
  const reply = toErrorReply('openai-responses', refusal, 'req_1')
  t.equal(reply.status, 400)
  t.equal(reply.headers['x-should-retry'], 'false')
  t.match(JSON.parse(reply.body), {
    error: {
      message: /^Previous response with id 'resp_1' not found.* Send the whole conversation/,
      type: 'invalid_request_error',
      param: 'previous_response_id',
      code: 'previous_response_not_found'
    }
  })
  for (const [name, value] of [
    ['conversation', 'conv_1'],
    ['conversation', { id: 'conv_1' }],
    ['prompt', { id: 'pmpt_1' }],
    ['background', true]
  ] as const) {
    t.match(refusalOf({ ...body('hi'), [name]: value }), { code: 'GW_BODY_INVALID', param: name })
  }
  const unset = { previous_response_id: null, conversation: null, prompt: null, background: false }
  t.equal(convert({ ...body('hi'), ...unset }).current.content, 'hi')
})

t.test('a Responses input in any of its forms', async (t) => {
  t.test('is a string, bare strings, items without type, or a list of parts', async (t) => {
    for (const input of [
      'hi',
      ['hi'],
      [USER],
      [{ type: 'message', ...USER }],
      [{ role: 'user', content: ['hi'] }],
      [{ role: 'user', content: [{ type: 'input_text', text: 'hi' }] }],
      [{ type: 'input_text', text: 'hi' }]
    ]) {
      const { current, history, plan } = convert(body(input))
      t.equal(current.content, 'hi', JSON.stringify(input))
      t.same(history, [])
      t.same(plan.repairs, [])
    }
  })

  t.test('reads every kind of text part, without a separator', async (t) => {
    const types = ['input_text', 'output_text', 'text', 'summary_text']
    const parts = [
      ...types.map((type) => ({ type, text: `<${type}>` })),
      { type: 'refusal', refusal: '<no>' }
    ]
    const { history } = convert(body([USER, { role: 'assistant', content: parts }, USER]))
    t.match(history[1], {
      assistantResponseMessage: {
        content: '<input_text><output_text><text><summary_text><no>'
      }
    })
  })

  t.test('takes instructions and the developer messages in front for system text', async (t) => {
    const { current, plan } = convert({
      ...body([
        { role: 'developer', content: [{ type: 'input_text', text: 'D1' }] },
        USER,
        { type: 'message', role: 'system', content: 'S' },
        { role: 'developer', content: 'D2' }
      ]),
      instructions: 'I'
    })
    t.equal(current.content, 'I\nD1\n\nhi\nS\nD2', 'later ones stay where they are')
    t.same(plan.repairs, ['system-as-user', 'turns-merged'])
  })

  t.test('needs no words of the user', async (t) => {
    t.equal(convert({ ...body([]), instructions: 'I' }).current.content, 'I\n\nContinue.')
    t.equal(convert(body('')).current.content, 'Continue.')
    t.same(convert(body('')).plan.repairs, ['turn-blank'])
  })

  t.test('takes an unknown role, or none, for the user', async (t) => {
    for (const role of ['robot', undefined, null]) {
      const { current, plan } = convert(body([{ role, content: 'beep' }]))
      t.equal(current.content, 'beep')
      t.same(plan.repairs, ['role-unknown'])
    }
  })
})

t.test('images of a Responses request', async (t) => {
  const url = `data:image/png;base64,${PNG}`

  t.test('come as a data URL or in an object, with any detail', async (t) => {
    for (const image of [url, { url, detail: 'high' }]) {
      const part = { type: 'input_image', image_url: image, detail: 'auto' }
      const { current } = convert(body([{ role: 'user', content: [part] }]))
      t.same(current.images, [{ format: 'png', source: { bytes: PNG } }])
    }
  })

  t.test('come out of tool outputs, too', async (t) => {
    for (const output of [
      [{ type: 'input_image', image_url: url }],
      { type: 'computer_screenshot', image_url: url }
    ]) {
      const { current, toolResults } = convert({
        ...body([USER, call('c', 'f'), outputOf('c', output)]),
        tools: [fn('f')]
      })
      t.equal(current.images?.length, 1)
      t.same(toolResults[0]?.content, [{ text: '(empty result)' }])
    }
  })

  t.test('in a developer message are seen, too', async (t) => {
    const content = [
      { type: 'input_text', text: 'It looks so:' },
      { type: 'input_image', image_url: url }
    ]
    const { current } = convert(body([{ role: 'developer', content }, USER]))
    t.equal(current.content, 'It looks so:\n\nhi')
    t.same(current.images, [{ format: 'png', source: { bytes: PNG } }])
  })

  t.test('are refused where they cannot be had', async (t) => {
    for (const [part, message] of [
      [{ type: 'input_image', file_id: 'file_1' }, /content\[0\]\.file_id: uploaded files are not/],
      [{ type: 'input_image', file_id: 'f', image_url: null }, /\.file_id: uploaded files are not/],
      [{ type: 'input_image' }, /image_url: is required/],
      [{ type: 'input_audio', input_audio: {} }, /audio is not supported/]
    ] as const) {
      t.match(refusalOf(body([{ role: 'user', content: [part] }])), {
        code: 'GW_BODY_INVALID',
        message
      })
    }
  })
})

t.test('calls and outputs of a Responses input', async (t) => {
  t.test('are one turn each, whatever stands between them', async (t) => {
    const { history, toolResults, current, plan } = convert({
      ...body([
        USER,
        { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'secret' }] },
        { role: 'assistant', content: [{ type: 'output_text', text: 'I look.' }] },
        call('c1', 'f', '{"a":1}'),
        { type: 'reasoning', id: 'rs_2', content: null, encrypted_content: 'x' },
        call('c2', 'f'),
        { role: 'developer', content: 'D' },
        outputOf('c2', 'two'),
        outputOf('c1', 'one'),
        { role: 'user', content: 'and?' }
      ]),
      tools: [fn('f')]
    })
    t.match(history, [
      { userInputMessage: { content: 'hi' } },
      {
        assistantResponseMessage: {
          content: 'I look.',
          toolUses: [
            { toolUseId: 'c1', name: 'f', input: { a: 1 } },
            { toolUseId: 'c2', name: 'f', input: {} }
          ]
        }
      }
    ])
    t.same(
      toolResults.map(({ toolUseId, content }) => [toolUseId, content[0].text]),
      [
        ['c1', 'one'],
        ['c2', 'two']
      ],
      'in the order of the calls'
    )
    t.equal(current.content, 'D\nand?')
    t.same(plan.repairs, ['system-as-user', 'turns-merged'])
    t.notMatch(JSON.stringify(history), /secret|rs_/)
  })

  t.test('have outputs in every form', async (t) => {
    const outputs: readonly (readonly [unknown, string])[] = [
      ['text', 'text'],
      ['', '(empty result)'],
      [null, '(empty result)'],
      [undefined, '(empty result)'],
      [[], '(empty result)'],
      [[{ type: 'input_text', text: 'a' }, 'b', { type: 'output_text', text: 'c' }], 'a\nb\nc'],
      [{ ok: true }, '{"ok":true}'],
      [[{ stdout: 'x', outcome: { type: 'exit' } }], '[{"stdout":"x","outcome":{"type":"exit"}}]'],
      [[1, null], '[1,null]'],
      [[{ type: 'dir', name: 'src' }], '[{"type":"dir","name":"src"}]'],
      [[{ type: 'file', name: 'a', size: 1 }], '[{"type":"file","name":"a","size":1}]'],
      [['there:', { type: 'dir', name: 'src' }], 'there:\n{"type":"dir","name":"src"}'],
      [7, '7'],
      [false, 'false']
    ]
    for (const type of ['function_call_output', 'custom_tool_call_output']) {
      for (const [output, text] of outputs) {
        const { toolResults } = convert({
          ...body([USER, call('c', 'f'), { type, call_id: 'c', output }]),
          tools: [fn('f')]
        })
        t.same(toolResults, [{ toolUseId: 'c', content: [{ text }], status: 'success' }])
      }
    }
  })

  t.test('an agent goes on after a tool gave what the model cannot take', async (t) => {
    for (const [part, told] of [
      [{ type: 'input_audio', input_audio: { data: 'x', format: 'wav' } }, /cannot be heard/],
      [{ type: 'input_file', file_id: 'file_1' }, /cannot be read/],
      [{ type: 'input_file', filename: 'a.bin', file_data: 'data:x/y;base64,AA==' }, /a\.bin/]
    ] as const) {
      const { toolResults, plan } = convert({
        ...body([USER, call('c', 'f'), outputOf('c', [part])]),
        tools: [fn('f')]
      })
      t.match(toolResults[0]?.content, [{ text: told }])
      t.match(plan.repairs, ['document-omitted'])
    }
  })

  t.test('know a failed output', async (t) => {
    const { toolResults } = convert({
      ...body([USER, call('c', 'f'), { ...outputOf('c', 'x'), status: 'failed' }]),
      tools: [fn('f')]
    })
    t.equal(toolResults[0]?.status, 'error')
  })

  t.test('may be named by the item alone, or by both ids in one', async (t) => {
    const pairs: readonly (readonly [object, string, string])[] = [
      [{ call_id: 'call_x|fc_y' }, 'call_x|fc_y', 'call_x_fc_y'],
      [{ call_id: 'call_x\nfc_y' }, 'call_x\nfc_y', 'call_x_fc_y'],
      [{ call_id: 'call_x|fc_y' }, 'call_x', 'call_x_fc_y'],
      [{ call_id: 'call_x' }, 'call_x|fc_y', 'call_x'],
      [{ id: 'fc_y' }, 'fc_y', 'fc_y'],
      [{ id: 'fc_y', call_id: 'call_x' }, 'fc_y', 'call_x']
    ]
    for (const [ids, outputId, wireId] of pairs) {
      const { toolResults } = convert({
        ...body([
          USER,
          { type: 'function_call', name: 'f', arguments: '{}', ...ids },
          outputOf(outputId, 'done')
        ]),
        tools: [fn('f')]
      })
      t.match(toolResults, [{ toolUseId: wireId, status: 'success' }], JSON.stringify(ids))
    }
  })

  t.test('without tools on offer become words', async (t) => {
    const { current, history } = convert({
      ...body([USER, call('c', 'f', '{"a":1}'), outputOf('c', 'done')]),
      tools: []
    })
    t.match(history[1], { assistantResponseMessage: { content: '[Tool: f (c)]\n{"a":1}' } })
    t.equal(current.content, '[Tool Result (c)]\ndone')
  })

  t.test('keep arguments that are no object', async (t) => {
    const { history } = convert({
      ...body([USER, call('c', 'f', '{"cut": "of'), outputOf('c', 'x')]),
      tools: [fn('f')]
    })
    t.match(history[1], {
      assistantResponseMessage: { toolUses: [{ input: { _raw: '{"cut": "of' } }] }
    })
  })
})

t.test('items of the vendor’s own tools lose no text', async (t) => {
  t.test(
    'a call that the client ran is a call, in words while its tool is not on offer',
    async (t) => {
      const { history, current } = convert(
        body([
          USER,
          {
            type: 'local_shell_call',
            id: 'lsh_1',
            call_id: 'c',
            status: 'completed',
            action: { type: 'exec', command: ['ls'] }
          },
          { type: 'local_shell_call_output', call_id: 'c', output: 'a.txt' }
        ])
      )
      t.match(history[1], {
        assistantResponseMessage: {
          content: '[Tool: local_shell (c)]\n{"action":{"type":"exec","command":["ls"]}}'
        }
      })
      t.equal(current.content, '[Tool Result (c)]\na.txt')
    }
  )

  t.test('an output finds its call by what its type has for it', async (t) => {
    const pairs: readonly (readonly [object, object, string])[] = [
      [
        { type: 'local_shell_call', id: 'lsh_1', call_id: 'c', action: { command: ['ls'] } },
        { type: 'local_shell_call_output', id: 'c', output: 'a.txt' },
        '[Tool Result (c)]\na.txt'
      ],
      [
        { type: 'local_shell_call', id: 'lsh_1', call_id: 'c', action: { command: ['ls'] } },
        { type: 'local_shell_call_output', id: 'lsh_1', output: 'a.txt' },
        '[Tool Result (c)]\na.txt'
      ],
      [
        { type: 'program', id: 'p_1', call_id: 'c', code: 'print(7391)', fingerprint: 'f' },
        { type: 'program_output', id: 'po_1', call_id: 'c', result: '7391', status: 'completed' },
        '[Tool Result (c)]\n7391'
      ],
      [
        { type: 'mcp_approval_request', id: 'c', name: 'send', arguments: '{}', server_label: 's' },
        { type: 'mcp_approval_response', approval_request_id: 'c', approve: false, reason: 'no' },
        '[Tool Result (c)]\n{"approve":false,"reason":"no"}'
      ]
    ]
    for (const [call, output, told] of pairs) {
      const { history, current } = convert(body([USER, call, output]))
      t.match(JSON.stringify(history[1]), /\[Tool: .* \(c\)\].*(ls|7391|send)/)
      t.equal(current.content, told)
    }
  })

  t.test('a call that the vendor ran is told in words, without bytes', async (t) => {
    const { history } = convert({
      ...body([
        USER,
        { type: 'web_search_call', id: 'ws_1', action: { type: 'search', query: 'q' } },
        { type: 'web_search_call', id: 'ws_2', action: { type: 'open_page', url: 'u' } },
        { type: 'mcp_call', id: 'mcp_1', name: 'get', arguments: '{}', output: 'found' },
        { type: 'image_generation_call', id: 'ig_1', result: 'AAAA' },
        { role: 'assistant', content: 'there' },
        USER
      ]),
      tools: [fn('web_search')]
    })
    t.match(history[1], {
      assistantResponseMessage: {
        content: [
          '[Tool: web_search (ws_1)]\n{"query":"q"}',
          '[Tool: web_search (ws_2)]\n{"action":{"type":"open_page","url":"u"}}',
          '[Tool: mcp (mcp_1)]\n{"name":"get","arguments":"{}"}\n\n[Tool Result (mcp_1)]\nfound',
          '[Tool: image_generation (ig_1)]\n{}',
          'there'
        ].join('\n')
      }
    })
  })

  t.test('a bare part is what its sender said', async (t) => {
    const { history, toolResults } = convert({
      ...body([
        USER,
        { type: 'output_text', text: 'I look.' },
        { type: 'tool_use', id: 'c', name: 'f', input: {} },
        { type: 'tool_result', tool_use_id: 'c', content: 'done' }
      ]),
      tools: [fn('f')]
    })
    t.match(history[1], {
      assistantResponseMessage: { content: 'I look.', toolUses: [{ toolUseId: 'c', name: 'f' }] }
    })
    t.match(toolResults, [{ toolUseId: 'c', content: [{ text: 'done' }], status: 'success' }])
  })

  t.test('an unknown item gives its text or is dropped', async (t) => {
    const { current, plan } = convert(
      body([
        { type: 'news', content: [{ text: 'kept' }] },
        { type: 'hologram', id: 'holo_1' },
        USER
      ])
    )
    t.equal(current.content, 'kept\nhi')
    t.same(plan.repairs, ['block-dropped', 'turns-merged'])
  })
})

t.test('reasoning is for who asks', async (t) => {
  t.equal(reasoningOf(undefined).plan.reasoning, 'none')
  t.equal(reasoningOf({}).plan.reasoning, 'none')
  t.equal(reasoningOf({ summary: 'none' }).plan.reasoning, 'none')
  t.equal(reasoningOf({ effort: 'none', summary: 'auto' }).plan.reasoning, 'none')
  t.equal(reasoningOf({ summary: 'auto' }).plan.reasoning, 'native')
  const { plan, payload } = reasoningOf({ effort: 'high', summary: 'detailed' })
  t.equal(plan.reasoning, 'native')
  t.same(payload.additionalModelRequestFields, { reasoning: { effort: 'high' } })
})

t.test('JSON answers are asked for in words', async (t) => {
  const schema = { type: 'object', properties: { a: { type: 'string' } } }
  const wishes = [
    {
      text: { format: { type: 'json_schema', name: 'codex_output_schema', strict: true, schema } }
    },
    { response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } },
    { response_format: { type: 'json_schema', schema } }
  ]
  for (const wish of wishes) {
    const { current, plan } = convert({ ...body('hi'), ...wish })
    t.ok(plan.asked.isJsonAnswer)
    t.equal(plan.rounds?.jsonForm?.type, 'schema')
    t.ok(current.content.endsWith(`must match this JSON Schema:\n${JSON.stringify(schema)}\n\nhi`))
  }
  t.match(
    convert({ ...body('hi'), text: { format: { type: 'json_object' } } }).current.content,
    /must be one valid JSON value/
  )
  const { current, plan } = convert({ ...body('hi'), text: { format: { type: 'text' } } })
  t.notOk(plan.asked.isJsonAnswer)
  t.equal(current.content, 'hi')
})

t.test('without a model the upstream chooses', async (t) => {
  const { model: _model, ...rest } = body('hi')
  for (const sent of [rest, { ...rest, model: null }]) {
    const { plan, current } = convert(sent)
    t.match(flatPlan(plan), { model: 'auto', upstreamModel: 'auto' })
    t.equal(current.modelId, 'auto')
  }
})

function reasoningOf(reasoning: unknown) {
  return convert({ ...body('hi'), model: 'gpt-5.6-sol', reasoning })
}

function body(input: unknown) {
  return { model: 'auto', input }
}

function fn(name: string) {
  return {
    type: 'function',
    name,
    description: name,
    parameters: { type: 'object', properties: {} }
  }
}

function call(id: string, name: string, args = '{}') {
  return { type: 'function_call', id: `fc_${id}`, call_id: id, name, arguments: args }
}

function outputOf(id: string, output: unknown) {
  return { type: 'function_call_output', call_id: id, output }
}

function convert(request: unknown) {
  return convertAny('openai-responses', request)
}

function refusalOf(request: unknown) {
  const error = refusalOfAny('openai-responses', request)
  if (error instanceof GatewayError) return error
  throw error
}
