import t from 'tap'
import { convert as convertAny } from '../../helper/convert.ts'
import { requestOptions } from '../../helper/request-options.ts'

const INPUT_NOTE =
  'Put the entire raw payload of this tool, as plain text, into the string field "input".'
const CHOICES = ['f', 'g', 'patch', 'n__h', 'n__i', 'tool_search']
const USER = { role: 'user', content: 'hi' }

t.test('tools of a Responses request', async (t) => {
  t.test('are functions, flat or nested, with or without parameters', async (t) => {
    const schema = { type: 'object', properties: { a: { type: 'string' } } }
    const { tools, plan } = convert({
      tools: [
        { type: 'function', name: 'flat', description: 'd', parameters: schema, strict: true },
        { type: 'function', function: { name: 'nested', description: 'd', parameters: schema } },
        { name: 'typeless', description: 'd', input_schema: schema },
        { type: 'function', name: 'bare', description: 'd', parameters: null }
      ]
    })
    t.same(
      tools.map(({ name, inputSchema }) => [name, inputSchema.json]),
      [
        ['flat', schema],
        ['nested', schema],
        ['typeless', schema],
        ['bare', { type: 'object', properties: {} }]
      ]
    )
    t.same(plan.asked.own.toolForms, {})
    t.same(plan.repairs, [])
  })

  t.test('are custom tools, which take one text', async (t) => {
    const { tools, plan } = convert({
      tools: [
        { type: 'custom', name: 'plain', description: 'P', format: { type: 'text' } },
        {
          type: 'custom',
          name: 'apply_patch',
          description: 'Edits files.',
          format: { type: 'grammar', syntax: 'lark', definition: 'start: "a"' }
        },
        { type: 'custom', name: 'silent', format: { type: 'grammar', definition: '^a$' } }
      ]
    })
    t.same(
      tools.map(({ description }) => description),
      [
        `P\n\n${INPUT_NOTE}`,
        `Edits files.\n\n${INPUT_NOTE} The payload must follow this lark grammar:\n\nstart: "a"`,
        `${INPUT_NOTE} The payload must follow this grammar:\n\n^a$`
      ]
    )
    for (const { inputSchema } of tools) {
      t.same(inputSchema.json, {
        type: 'object',
        properties: { input: { type: 'string' } },
        required: ['input']
      })
    }
    t.same(plan.asked.own.toolForms, {
      plain: { kind: 'text', name: 'plain' },
      apply_patch: { kind: 'text', name: 'apply_patch' },
      silent: { kind: 'text', name: 'silent' }
    })
  })

  t.test('are namespaces, whose functions keep their names apart', async (t) => {
    const { tools, plan, current } = convert({
      tools: [
        fn('close'),
        { type: 'namespace', name: 'a', description: 'Agents.', tools: [fn('close'), fn('open')] },
        { type: 'namespace', name: 'b', tools: [fn('close'), { type: 'custom', name: 'exec' }] },
        { type: 'namespace', name: 'empty', description: 'Nothing.', tools: [] }
      ]
    })
    t.same(
      tools.map(({ name }) => name),
      ['close', 'a__close', 'a__open', 'b__close', 'b__exec']
    )
    t.same(plan.asked.own.toolForms, {
      a__close: { kind: 'function', name: 'close', namespace: 'a' },
      a__open: { kind: 'function', name: 'open', namespace: 'a' },
      b__close: { kind: 'function', name: 'close', namespace: 'b' },
      b__exec: { kind: 'text', name: 'exec', namespace: 'b' }
    })
    t.equal(current.content, 'The tools named "a__…": Agents.\n\nhi')
  })

  t.test('have names of their own even where joining makes two equal', async (t) => {
    const { tools, plan } = convert({
      tools: [
        fn('a__b__c'),
        { type: 'namespace', name: 'a', tools: [fn('b__c')] },
        { type: 'namespace', name: 'a__b', tools: [fn('c')] }
      ]
    })
    t.same(
      tools.map(({ name }) => name),
      ['a__b__c', 'a__b__c_2', 'a__b__c_3']
    )
    t.same(plan.asked.own.toolForms, {
      a__b__c_2: { kind: 'function', name: 'b__c', namespace: 'a' },
      a__b__c_3: { kind: 'function', name: 'c', namespace: 'a__b' }
    })
  })

  t.test('may have long names, which come back through both tables', async (t) => {
    const name = 'do_'.repeat(29)
    const { tools, plan } = convert({
      tools: [{ type: 'namespace', name: 'mcp__my.server', tools: [fn(name), fn('constructor')] }]
    })
    const [long, short] = tools.map((tool) => tool.name)
    t.ok((long ?? '').length <= 63)
    t.equal(short, 'mcp__my_server__constructor')
    const full = plan.toolNames[long ?? ''] ?? ''
    t.same(plan.asked.own.toolForms[full], { kind: 'function', name, namespace: 'mcp__my.server' })
    t.same(plan.asked.own.toolForms[plan.toolNames[short ?? ''] ?? ''], {
      kind: 'function',
      name: 'constructor',
      namespace: 'mcp__my.server'
    })
  })

  t.test('may be called like members of every object', async (t) => {
    const { tools, plan } = convert({
      tools: ['__proto__', 'constructor', 'toString'].map((name) => ({ type: 'custom', name }))
    })
    t.equal(tools.length, 3)
    t.same(Object.keys(plan.asked.own.toolForms), ['__proto__', 'constructor', 'toString'])
    t.same(Object.getOwnPropertyDescriptor(plan.asked.own.toolForms, '__proto__')?.value, {
      kind: 'text',
      name: '__proto__'
    })
  })

  t.test('are offered once, the first of two', async (t) => {
    const { tools, plan } = convert({
      tools: [fn('f', 'first'), fn('f', 'second'), { type: 'custom', name: 'f' }]
    })
    t.same(
      tools.map(({ description }) => description),
      ['first']
    )
    t.same(plan.asked.own.toolForms, {})
    t.same(plan.repairs, ['tool-duplicate-dropped'])
  })

  t.test('of the vendor are left out, without an error', async (t) => {
    for (const tool of [
      { type: 'file_search', vector_store_ids: [] },
      { type: 'code_interpreter', container: { type: 'auto' } },
      { type: 'image_generation', output_format: 'png' },
      { type: 'computer_use_preview' },
      { type: 'mcp', server_label: 'x' },
      { type: 'local_shell' },
      { type: 'shell' },
      { type: 'apply_patch' },
      { type: 'tool_search' },
      { type: 'tool_search', execution: 'server' },
      { type: 'of_tomorrow', name: 'x' }
    ]) {
      const { tools, plan } = convert({ tools: [tool, fn('f')] })
      t.same(
        tools.map(({ name }) => name),
        ['f'],
        tool.type
      )
      t.same(plan.repairs, ['server-tool-dropped'])
    }
  })
})

t.test('a search for tools that the client makes', async (t) => {
  const search = {
    type: 'tool_search',
    execution: 'client',
    description: 'Finds tools.',
    parameters: { type: 'object', properties: { query: { type: 'string' } } }
  }
  const found = [
    fn('weather'),
    { type: 'namespace', name: 'mcp__x', description: 'Server x.', tools: [fn('get.it')] }
  ]
  const input = [
    USER,
    {
      type: 'tool_search_call',
      call_id: 's1',
      execution: 'client',
      status: 'completed',
      arguments: { query: 'weather' }
    },
    { type: 'tool_search_output', call_id: 's1', execution: 'client', tools: found },
    { type: 'function_call', call_id: 'c1', name: 'get.it', namespace: 'mcp__x', arguments: '{}' },
    { type: 'function_call_output', call_id: 'c1', output: 'sunny' }
  ]

  t.test('is a function whose finds stay on offer', async (t) => {
    const { tools, history, toolResults, plan } = convert({ input, tools: [search] })
    t.same(
      tools.map(({ name }) => name),
      ['tool_search', 'weather', 'mcp__x__get_it']
    )
    t.same(plan.asked.own.toolForms, {
      tool_search: { kind: 'search', name: 'tool_search' },
      'mcp__x__get.it': { kind: 'function', name: 'get.it', namespace: 'mcp__x' }
    })
    t.match(history, [
      { userInputMessage: { content: 'hi' } },
      {
        assistantResponseMessage: {
          toolUses: [{ toolUseId: 's1', name: 'tool_search', input: { query: 'weather' } }]
        }
      },
      {
        userInputMessage: {
          userInputMessageContext: {
            toolResults: [
              {
                toolUseId: 's1',
                content: [
                  {
                    text: 'These tools are available now:\n- weather\nServer x.\n- mcp__x__get_it'
                  }
                ]
              }
            ]
          }
        }
      },
      { assistantResponseMessage: { toolUses: [{ toolUseId: 'c1', name: 'mcp__x__get_it' }] } }
    ])
    t.match(toolResults, [{ toolUseId: 'c1', content: [{ text: 'sunny' }] }])
  })

  t.test('may find nothing', async (t) => {
    const { toolResults } = convert({
      input: [...input.slice(0, 2), { type: 'tool_search_output', call_id: 's1', tools: [] }],
      tools: [search]
    })
    t.match(toolResults, [{ content: [{ text: 'No tools were found.' }] }])
  })

  t.test('leaves its finds on offer after the search itself is gone', async (t) => {
    const { tools, current } = convert({ input, tools: [] })
    t.same(
      tools.map(({ name }) => name),
      ['weather', 'mcp__x__get_it']
    )
    t.equal(current.userInputMessageContext?.toolResults?.length, 1)
  })
})

t.test('the web search of the vendor is made by the gateway', async (t) => {
  const search = {
    type: 'web_search',
    external_web_access: true,
    filters: { allowed_domains: ['nodejs.org'] }
  }

  t.test('wherever its tool is listed', async (t) => {
    for (const request of [
      { tools: [search, fn('f')] },
      { tools: [fn('f')], input: [USER, { type: 'additional_tools', tools: [search] }] }
    ]) {
      const { tools, plan } = convert(request)
      t.same(
        tools.map(({ name }) => name),
        ['web_search', 'f']
      )
      t.match(plan.rounds, {
        webSearch: { toolName: 'web_search', allowedDomains: ['nodejs.org'] }
      })
      t.same(plan.repairs, [])
    }
  })

  t.test('unless it cannot be', async (t) => {
    const options = requestOptions({ servesWebSearch: false })
    const request = { model: 'auto', input: 'hi', tools: [search, fn('f')] }
    const { tools, plan } = convertAny('openai-responses', request, options)
    t.same(
      tools.map(({ name }) => name),
      ['f']
    )
    t.equal(plan.rounds, null)
    t.same(plan.repairs, ['server-tool-dropped'])
  })

  t.test('if it may or must be', async (t) => {
    const tools = [search, fn('f')]
    const named = convert({ tools, tool_choice: { type: 'web_search_preview' } })
    t.match(named.current.content, /exactly the tool "web_search"/)
    t.match(named.plan.rounds, { dueCall: { name: 'web_search' } })
    const allow = (...list: object[]) =>
      convert({ tools, tool_choice: { type: 'allowed_tools', mode: 'auto', tools: list } })
    t.same(
      allow({ type: 'web_search' }).tools.map(({ name }) => name),
      ['web_search']
    )
    t.equal(allow({ type: 'function', name: 'f' }).plan.rounds, null)
  })
})

t.test('calls find their tools', async (t) => {
  const tools = [
    fn('close'),
    {
      type: 'namespace',
      name: 'functions',
      tools: [{ type: 'custom', name: 'exec' }, fn('close'), fn('wait')]
    },
    { type: 'namespace', name: 'other', tools: [fn('wait')] }
  ]
  const called: readonly (readonly [object, string | undefined])[] = [
    [{ type: 'function_call', name: 'close' }, 'close'],
    [{ type: 'function_call', name: 'close', namespace: null }, 'close'],
    [{ type: 'function_call', name: 'close', namespace: '' }, 'close'],
    [{ type: 'function_call', name: 'close', namespace: 'functions' }, 'functions__close'],
    [{ type: 'function_call', name: 'functions__close' }, 'functions__close'],
    [{ type: 'custom_tool_call', name: 'exec', input: 'x' }, 'functions__exec'],
    [
      { type: 'custom_tool_call', name: 'exec', namespace: 'functions', input: 'x' },
      'functions__exec'
    ],
    [{ type: 'function_call', name: 'wait', namespace: 'other' }, 'other__wait'],
    [{ type: 'function_call', name: 'wait' }, undefined],
    [{ type: 'function_call', name: 'close', namespace: 'gone' }, undefined]
  ]
  for (const [item, name] of called) {
    const { history } = convert({
      tools,
      input: [
        USER,
        { call_id: 'c', ...item },
        { type: 'function_call_output', call_id: 'c', output: 'x' }
      ]
    })
    const [, turn] = history
    const uses =
      turn !== undefined && 'assistantResponseMessage' in turn
        ? turn.assistantResponseMessage.toolUses
        : []
    t.same(
      uses?.map((use) => use.name),
      name === undefined ? undefined : [name],
      JSON.stringify(item)
    )
  }
})

t.test('tool_choice of a Responses request', async (t) => {
  t.test('leaves the model its choice', async (t) => {
    for (const choice of [undefined, null, 'auto', { type: 'auto' }]) {
      t.same(chosen(choice).names, CHOICES)
      t.notMatch(chosen(choice).content, /You must call/)
    }
  })

  t.test('takes all tools away', async (t) => {
    for (const choice of ['none', { type: 'none' }]) {
      t.same(chosen(choice), { names: [], content: 'hi', repairs: [] })
    }
  })

  t.test('asks for a call', async (t) => {
    for (const choice of ['required', 'any', { type: 'required' }, { type: 'any' }]) {
      t.match(chosen(choice).content, /at least one of the available tools/)
      t.same(chosen(choice).names, CHOICES)
    }
  })

  t.test('asks for one tool', async (t) => {
    const named: readonly (readonly [object, string])[] = [
      [{ type: 'function', name: 'g' }, 'g'],
      [{ type: 'function', function: { name: 'g' } }, 'g'],
      [{ type: 'custom', name: 'patch' }, 'patch'],
      [{ type: 'function', name: 'h', namespace: 'n' }, 'n__h'],
      [{ type: 'function', name: 'h' }, 'n__h'],
      [{ type: 'tool_search' }, 'tool_search']
    ]
    for (const [choice, name] of named) {
      t.match(chosen(choice).content, `exactly the tool "${name}"`, JSON.stringify(choice))
      t.same(chosen(choice).names, CHOICES, 'history may need the others')
    }
  })

  t.test('asks for a tool that is not there', async (t) => {
    for (const choice of [
      { type: 'function', name: 'z' },
      { type: 'web_search_preview' },
      { type: 'mcp', server_label: 'x' }
    ]) {
      t.match(chosen(choice).repairs, ['tool-choice-dropped'])
      t.same(chosen(choice).names, CHOICES)
    }
  })

  t.test('allows some of them', async (t) => {
    t.same(
      allowed('auto', { type: 'function', name: 'g' }, { type: 'custom', name: 'patch' }).names,
      ['g', 'patch']
    )
    t.same(allowed('auto', { type: 'namespace', name: 'n' }).names, ['n__h', 'n__i'])
    t.same(allowed('auto', { type: 'function', name: 'i', namespace: 'n' }).names, ['n__i'])
    t.same(allowed('auto', { type: 'function', function: { name: 'f' } }).names, ['f'])
    t.same(allowed('auto', { type: 'tool_search' }, { type: 'web_search' }, {}).names, [
      'tool_search'
    ])
    t.same(allowed('auto').names, [])
    t.notMatch(allowed('auto', { type: 'function', name: 'f' }).content, /You must call/)
    t.match(
      allowed('required', { type: 'function', name: 'f' }).content,
      /at least one of the available tools/
    )
  })
})

function allowed(mode: string, ...tools: object[]) {
  return chosen({ type: 'allowed_tools', mode, tools })
}

function chosen(choice: unknown) {
  const tools = [
    fn('f'),
    fn('g'),
    { type: 'custom', name: 'patch' },
    { type: 'namespace', name: 'n', description: 'N.', tools: [fn('h'), fn('i')] },
    { type: 'tool_search', execution: 'client' }
  ]
  const { current, tools: offered, plan } = convert({ tools, tool_choice: choice })
  const names = offered.map(({ name }) => name)
  return { names, content: current.content, repairs: plan.repairs }
}

function fn(name: string, description = name) {
  return {
    type: 'function',
    name,
    description,
    parameters: { type: 'object', properties: {} }
  }
}

function convert(request: object) {
  return convertAny('openai-responses', { model: 'auto', input: 'hi', ...request })
}
