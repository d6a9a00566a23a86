import t from 'tap'
import { convert as convertAny } from '../../helper/convert.ts'
import { requestOptions, toAnswer } from '../../helper/request-options.ts'
import { flatPlan } from '../../helper/reply-plan.ts'

// Bodies of Codex, other clients and SDKs, with their long texts cut.

const EXEC_SCHEMA = {
  type: 'object',
  properties: { cmd: { type: 'string' } },
  required: ['cmd'],
  additionalProperties: false
}
const AGENTS = {
  type: 'namespace',
  name: 'multi_agent_v1',
  description: 'Agents that work at the same time.',
  tools: ['spawn_agent', 'close_agent'].map((name) => fn(name))
}
const APPLY_PATCH = {
  type: 'custom',
  name: 'apply_patch',
  description: 'Edits files.',
  format: { type: 'grammar', syntax: 'lark', definition: 'start: begin_patch hunk+ end_patch' }
}
const TOOL_SEARCH = {
  type: 'tool_search',
  execution: 'client',
  description: 'Finds tools.',
  parameters: { type: 'object', properties: { query: { type: 'string' } }, required: ['query'] }
}
const CODEX = {
  stream: true,
  tool_choice: 'auto',
  parallel_tool_calls: true,
  store: false,
  include: ['reasoning.encrypted_content'],
  prompt_cache_key: '0a1b',
  client_metadata: { thread_id: '0a1b', 'x-codex-turn-metadata': '{}' }
}
const OPENING = [
  message('developer', 'You are a coding agent running in the Codex CLI.'),
  {
    ...message('developer', '<skills_instructions>'),
    content: [
      { type: 'input_text', text: '<skills_instructions>' },
      { type: 'input_text', text: '<permissions instructions>' }
    ]
  },
  message('user', '<environment_context>'),
  message('user', 'Use your tools.')
]
const SYSTEM_TEXT =
  'You are a coding agent running in the Codex CLI.\n<skills_instructions><permissions instructions>'

t.test('Codex, by the name of the model', async (t) => {
  t.test('an unknown name: functions, a namespace and a search that is dropped', async (t) => {
    const { plan, tools, history, toolResults, current } = convert({
      ...CODEX,
      model: 'claude-haiku-4.5',
      reasoning: { summary: null },
      tools: [
        { ...fn('exec_command'), parameters: EXEC_SCHEMA, strict: false },
        AGENTS,
        { type: 'image_generation', output_format: 'png' }
      ],
      input: [
        ...OPENING,
        {
          type: 'function_call',
          status: 'completed',
          id: 'fc_1',
          name: 'exec_command',
          arguments: '{"cmd":"printf hello-7391 > hello.txt"}',
          call_id: 'call_1'
        },
        {
          type: 'function_call',
          status: 'completed',
          id: 'fc_2',
          name: 'close_agent',
          namespace: 'multi_agent_v1',
          arguments: '{"id":"a"}',
          call_id: 'call_2'
        },
        {
          type: 'function_call_output',
          id: 'fco_1',
          call_id: 'call_1',
          output: 'Chunk ID: ae982f\nProcess exited with code 0\n'
        },
        { type: 'function_call_output', id: 'fco_2', call_id: 'call_2', output: 'closed' }
      ]
    })
    t.same(namesOf(tools), [
      'exec_command',
      'multi_agent_v1__spawn_agent',
      'multi_agent_v1__close_agent'
    ])
    t.match(history, [
      {
        userInputMessage: {
          content: `${SYSTEM_TEXT}\n\nThe tools named "multi_agent_v1__…": Agents that work at the same time.\n\n<environment_context>\nUse your tools.`
        }
      },
      {
        assistantResponseMessage: {
          content: ' ',
          toolUses: [
            {
              toolUseId: 'call_1',
              name: 'exec_command',
              input: { cmd: 'printf hello-7391 > hello.txt' }
            },
            { toolUseId: 'call_2', name: 'multi_agent_v1__close_agent', input: { id: 'a' } }
          ]
        }
      }
    ])
    t.same(
      toolResults.map(({ toolUseId, status }) => [toolUseId, status]),
      [
        ['call_1', 'success'],
        ['call_2', 'success']
      ]
    )
    t.equal(current.content, 'Continue.')
    t.match(flatPlan(plan), {
      isStream: true,
      isSingleToolCall: false,
      keepsItems: false,
      reasoning: 'none',
      toolForms: {
        multi_agent_v1__close_agent: {
          kind: 'function',
          name: 'close_agent',
          namespace: 'multi_agent_v1'
        }
      }
    })
    t.notOk('exec_command' in plan.asked.own.toolForms)
    t.same(
      plan.repairs.filter((code) => !/schema|merged|blank/.test(code)),
      ['server-tool-dropped']
    )
  })

  t.test('gpt-5.5: a patch tool with a grammar and a search for tools', async (t) => {
    const { plan, tools, history, toolResults } = convert({
      ...CODEX,
      model: 'gpt-5.5',
      reasoning: { effort: 'medium' },
      text: { verbosity: 'low' },
      tools: [fn('exec_command'), APPLY_PATCH, TOOL_SEARCH, AGENTS],
      input: [
        ...OPENING,
        {
          type: 'reasoning',
          id: 'rs_1',
          summary: [{ type: 'summary_text', text: 'I think.' }],
          content: null,
          encrypted_content: 'gAAAA'
        },
        {
          type: 'tool_search_call',
          id: 'tsc_1',
          call_id: 'call_1',
          execution: 'client',
          status: 'completed',
          arguments: { query: 'weather' }
        },
        {
          type: 'tool_search_output',
          call_id: 'call_1',
          execution: 'client',
          status: 'completed',
          tools: [{ type: 'namespace', name: 'mcp__weather', tools: [fn('forecast')] }]
        },
        {
          type: 'custom_tool_call',
          id: 'ctc_1',
          call_id: 'call_2',
          name: 'apply_patch',
          input: '*** Begin Patch\n*** End Patch'
        },
        {
          type: 'custom_tool_call_output',
          call_id: 'call_2',
          output: [{ type: 'input_text', text: 'Done!' }]
        }
      ]
    })
    t.same(namesOf(tools), [
      'exec_command',
      'apply_patch',
      'tool_search',
      'multi_agent_v1__spawn_agent',
      'multi_agent_v1__close_agent',
      'mcp__weather__forecast'
    ])
    t.match(plan.asked.own.toolForms, {
      apply_patch: { kind: 'text', name: 'apply_patch' },
      tool_search: { kind: 'search', name: 'tool_search' },
      mcp__weather__forecast: { kind: 'function', name: 'forecast', namespace: 'mcp__weather' }
    })
    t.match(tools[1]?.description, /lark grammar:\n\nstart: begin_patch hunk\+ end_patch$/)
    t.match(history[3], {
      assistantResponseMessage: {
        toolUses: [{ name: 'apply_patch', input: { input: '*** Begin Patch\n*** End Patch' } }]
      }
    })
    t.same(toolResults[0]?.content, [{ text: 'Done!' }])
    t.notMatch(JSON.stringify(history), /I think|gAAAA/)
  })

  t.test('gpt-5.6-sol and newer: no tools member, all of them in the input', async (t) => {
    const { plan, tools, history } = convert({
      ...CODEX,
      model: 'gpt-5.6-sol',
      reasoning: { effort: 'high', context: 'all_turns' },
      input: [
        {
          type: 'additional_tools',
          role: 'developer',
          tools: [
            {
              type: 'namespace',
              name: 'functions',
              tools: [{ ...APPLY_PATCH, name: 'exec' }, fn('wait')]
            },
            { ...AGENTS, name: 'collaboration' }
          ]
        },
        ...OPENING,
        { type: 'custom_tool_call', call_id: 'call_1', name: 'exec', input: 'ls' },
        { type: 'custom_tool_call_output', call_id: 'call_1', output: 'a.txt' },
        {
          type: 'function_call',
          call_id: 'call_2',
          name: 'wait',
          namespace: 'functions',
          arguments: '{}'
        },
        { type: 'function_call_output', call_id: 'call_2', output: 'waited' }
      ]
    })
    t.same(namesOf(tools), [
      'functions__exec',
      'functions__wait',
      'collaboration__spawn_agent',
      'collaboration__close_agent'
    ])
    t.match(plan.asked.own.toolForms, {
      functions__exec: { kind: 'text', name: 'exec', namespace: 'functions' },
      functions__wait: { kind: 'function', name: 'wait', namespace: 'functions' }
    })
    t.match(history[1], {
      assistantResponseMessage: { toolUses: [{ name: 'functions__exec', input: { input: 'ls' } }] }
    })
    t.match(history[3], { assistantResponseMessage: { toolUses: [{ name: 'functions__wait' }] } })
    t.same(plan.repairs, ['turns-merged'])
  })

  t.test('an image that a tool shows, a form for the answer, a compaction', async (t) => {
    const image = { type: 'input_image', image_url: 'data:image/png;base64,iVBORw0KGgo=' }
    const { current } = convert({
      ...CODEX,
      model: 'claude-haiku-4.5',
      tools: [fn('view_image')],
      input: [
        ...OPENING,
        { type: 'function_call', call_id: 'c', name: 'view_image', arguments: '{"path":"a.png"}' },
        { type: 'function_call_output', call_id: 'c', output: [image] }
      ]
    })
    t.equal(current.images?.length, 1)
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } } }
    const format = { type: 'json_schema', strict: true, name: 'codex_output_schema', schema }
    t.ok(
      convert({ ...CODEX, model: 'auto', input: OPENING, text: { format } }).plan.asked.isJsonAnswer
    )
    const compaction = convert({
      ...CODEX,
      model: 'claude-haiku-4.5',
      tools: [],
      input: [
        ...OPENING,
        { type: 'function_call', call_id: 'c', name: 'exec_command', arguments: '{"cmd":"ls"}' },
        { type: 'function_call_output', call_id: 'c', output: 'a.txt' },
        message('user', 'You are performing a CONTEXT CHECKPOINT COMPACTION.')
      ]
    })
    t.equal(
      compaction.current.content,
      '[Tool Result (c)]\na.txt\nYou are performing a CONTEXT CHECKPOINT COMPACTION.'
    )
    t.same(compaction.tools, [])
  })
})

t.test('other clients', async (t) => {
  t.test('OpenCode and pi: a system role with a string, calls without item ids', async (t) => {
    const { history, toolResults, plan } = convert({
      model: 'claude-haiku-4.5',
      stream: true,
      store: false,
      prompt_cache_key: 'ses_1',
      max_output_tokens: 32_000,
      tools: [{ ...fn('bash'), strict: false }],
      input: [
        { role: 'system', content: 'You are opencode.' },
        { role: 'user', content: [{ type: 'input_text', text: 'Use your tools.' }] },
        { type: 'function_call', call_id: 'call_1', name: 'bash', arguments: '{"command":"ls"}' },
        { type: 'function_call_output', call_id: 'call_1', output: '(no output)' }
      ]
    })
    t.match(history[0], { userInputMessage: { content: 'You are opencode.\n\nUse your tools.' } })
    t.match(toolResults, [{ toolUseId: 'call_1', status: 'success' }])
    t.same(plan.repairs, [])
  })

  t.test('Cline: tools of the vendor beside its own', async (t) => {
    const { tools, plan } = convert({
      model: 'claude-haiku-4.5',
      stream: true,
      truncation: 'auto',
      include: ['web_search_call.action.sources'],
      input: 'hi',
      tools: [fn('read_files'), { type: 'image_generation', output_format: 'png' }]
    })
    t.same(namesOf(tools), ['read_files'])
    t.same(plan.repairs, ['server-tool-dropped'])
    t.ok(plan.asked.keepsItems)
  })

  t.test('the ai SDK: its own answers as references', async (t) => {
    const items = {
      msg_1: {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        content: [{ type: 'output_text', text: 'Hello.' }]
      },
      fc_1: { id: 'fc_1', type: 'function_call', call_id: 'call_1', name: 'f', arguments: '{}' }
    }
    const { history, toolResults } = convertAny(
      'openai-responses',
      {
        model: 'claude-haiku-4.5',
        tools: [fn('f')],
        input: [
          { role: 'user', content: [{ type: 'input_text', text: 'hi' }] },
          { type: 'item_reference', id: 'rs_1' },
          { type: 'item_reference', id: 'msg_1' },
          { type: 'item_reference', id: 'fc_1' },
          { type: 'function_call_output', call_id: 'call_1', output: '{"ok":true}' }
        ]
      },
      requestOptions({ answers: [toAnswer(items)] })
    )
    t.match(history[1], {
      assistantResponseMessage: { content: 'Hello.', toolUses: [{ toolUseId: 'call_1' }] }
    })
    t.same(toolResults[0]?.content, [{ text: '{"ok":true}' }])
  })

  t.test('OpenAI Agents: items sent back as they came', async (t) => {
    const { history, plan } = convert({
      model: 'claude-haiku-4.5',
      instructions: 'Be brief.',
      include: [],
      tools: [{ ...fn('f'), strict: true }],
      tool_choice: 'required',
      parallel_tool_calls: false,
      input: [
        { type: 'message', role: 'user', content: 'hi' },
        {
          id: 'msg_1',
          type: 'message',
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'output_text', text: 'Wait.', annotations: [], logprobs: [] }]
        },
        {
          id: 'fc_1',
          type: 'function_call',
          status: 'completed',
          call_id: 'call_1',
          name: 'f',
          arguments: '{}'
        },
        {
          type: 'function_call_output',
          status: 'completed',
          call_id: 'call_1',
          output: { type: 'text', text: 'fine' }
        }
      ]
    })
    t.match(history[0], {
      userInputMessage: { content: /^Be brief\.\n\nYou must call at least one [^]*\n\nhi$/ }
    })
    t.ok(plan.asked.isSingleToolCall)
    t.same(plan.repairs, [])
  })
})

function message(role: string, text: string) {
  return { type: 'message', id: 'msg_0', role, content: [{ type: 'input_text', text }] }
}

function fn(name: string) {
  return {
    type: 'function',
    name,
    description: `Does ${name}.`,
    parameters: { type: 'object', properties: {} }
  }
}

function namesOf(tools: readonly { readonly name: string }[]) {
  return tools.map(({ name }) => name)
}

function convert(request: object) {
  return convertAny('openai-responses', request)
}
