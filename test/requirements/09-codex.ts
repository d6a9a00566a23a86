import type { Test } from 'tap'
import { readResponsesStream } from '../helper/responses-grammar.ts'
import { RESPONSES } from './dialects.ts'
import type { Stand } from './stand.ts'

type Json = Record<string, unknown>

const object = (...names: readonly string[]) => ({
  type: 'object',
  properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }]))
})
const fn = (name: string, ...names: readonly string[]) => ({
  type: 'function',
  name,
  description: name,
  strict: false,
  parameters: object(...names)
})
const AGENTS = {
  type: 'namespace',
  name: 'multi_agent_v1',
  description: 'Agents.',
  tools: [fn('spawn_agent', 'task'), fn('close_agent', 'id')]
}
const MCP = {
  type: 'namespace',
  name: 'mcp__my_server',
  description: 'A server.',
  tools: [fn(`a_very_long_${'name_'.repeat(15)}`, 'id')]
}
const custom = (name: string) => ({
  type: 'custom',
  name,
  description: name,
  format: { type: 'grammar', syntax: 'lark', definition: 'start: /.+/' }
})
const TOOL_SEARCH = { type: 'tool_search', execution: 'client', parameters: object('query') }
const COMMON = { store: false, include: ['reasoning.encrypted_content'], parallel_tool_calls: true }

const user = (text: string) => ({
  type: 'message',
  id: 'msg_0b1c9a1e-5b1f-4a39-9d57-1b1e8f5f3f10',
  role: 'user',
  content: [{ type: 'input_text', text }]
})

/** The dialects of Codex, by the model that it thinks it speaks to. */
export async function check(t: Test, stand: Stand): Promise<void> {
  /** The same, streamed and not; gives the items of the stream. */
  const itemsOf = async (t: Test, body: object): Promise<readonly Json[]> => {
    const whole = await stand.call(RESPONSES, { body: { ...COMMON, ...body } })
    t.equal(whole.status, 200, whole.text.slice(0, 300))
    const streamed = await stand.call(RESPONSES, { body: { ...COMMON, ...body, stream: true } })
    const { output, doneIds } = readResponsesStream(streamed.text)
    t.same(
      doneIds,
      output.map((item) => item['id']),
      'every item was told to be done'
    )
    const collected = (whole.json['output'] as Json[]).map((item, index) => ({
      ...item,
      id: output[index]?.['id']
    }))
    t.same(collected, output, 'but for their ids the items are the same')
    return output
  }

  /** The last item: words and reasoning may stand before a call. */
  const callOf = async (t: Test, body: object): Promise<Json> =>
    // GPT's reasoning stands behind the call.
    (await itemsOf(t, body)).findLast(({ type }) => type !== 'reasoning') ?? {}

  t.test('a function of a namespace comes back with its namespace apart', async (t) => {
    const tools = [fn('exec_command', 'cmd'), AGENTS, MCP, { type: 'web_search' }]
    const request = { model: 'claude-haiku-4.5', tools, reasoning: { summary: 'auto' } }
    const call = await callOf(t, {
      ...request,
      input: [user('use tool multi_agent_v1__close_agent with {"id":"a"}')]
    })
    t.match(call, {
      type: 'function_call',
      name: 'close_agent',
      namespace: 'multi_agent_v1',
      arguments: '{"id":"a"}',
      status: 'completed'
    })
    const name = MCP.tools[0]?.name ?? ''
    const long = await callOf(t, {
      ...request,
      input: [user(`use tool mcp__my_server__${name} with {"id":"a"}`)]
    })
    t.match(long, { type: 'function_call', name, namespace: 'mcp__my_server' })
    const plain = await callOf(t, {
      ...request,
      input: [user('use tool exec_command with {"cmd":"ls"}')]
    })
    t.match(plain, { type: 'function_call', name: 'exec_command' })
    t.notOk('namespace' in plain)
    const back = [user('go'), call, { type: 'function_call_output', call_id: call['call_id'] }]
    t.match(await callOf(t, { ...request, input: [...back, user('ok?')] }), { type: 'message' })
  })

  t.test('gpt-5.5: custom tools take and give raw text', async (t) => {
    const tools = [custom('apply_patch'), TOOL_SEARCH, fn('exec_command', 'cmd')]
    const request = { model: 'claude-haiku-4.5', tools, text: { verbosity: 'low' } }
    const raw = '*** Begin Patch\n"quoted" \\ 世界\n'
    const input = [user(`use tool apply_patch with ${JSON.stringify({ input: raw })}`)]
    const call = await callOf(t, { ...request, input })
    t.match(call, { type: 'custom_tool_call', name: 'apply_patch', input: raw })
    for (const output of ['done', [{ type: 'input_text', text: 'done' }]]) {
      const result = { type: 'custom_tool_call_output', call_id: call['call_id'], output }
      t.match(await itemsOf(t, { ...request, input: [user('go'), call, result] }), [
        { content: [{ text: /"done"/ }] }
      ])
    }
  })

  t.test('tool_search: its arguments are an object, and what it found can be called', async (t) => {
    const request = { model: 'claude-haiku-4.5', tools: [TOOL_SEARCH] }
    const input = [user('use tool tool_search with {"query":"calendar"}')]
    const search = await callOf(t, { ...request, input })
    t.match(search, {
      type: 'tool_search_call',
      execution: 'client',
      arguments: { query: 'calendar' }
    })
    const found = {
      type: 'tool_search_output',
      call_id: search['call_id'],
      status: 'completed',
      execution: 'client',
      tools: [
        { type: 'namespace', name: 'mcp__cal', description: 'C', tools: [fn('list_events', 'id')] }
      ]
    }
    const next = user('use tool mcp__cal__list_events with {"id":"7"}')
    const call = await callOf(t, { ...request, input: [user('go'), search, found, next] })
    t.match(call, { type: 'function_call', name: 'list_events', namespace: 'mcp__cal' })
    const later = await callOf(t, {
      ...request,
      input: [user('go'), search, found, user('ok'), user('hm'), next]
    })
    t.match(later, { name: 'list_events' }, 'also for the rest of the conversation')
  })

  for (const model of ['gpt-5.6-sol', 'gpt-5.6-terra']) {
    t.test(`${model}: all tools in the input`, async (t) => {
      const additional = {
        type: 'additional_tools',
        role: 'developer',
        tools: [
          {
            type: 'namespace',
            name: 'functions',
            tools: [custom('exec'), fn('wait', 'ms')]
          },
          { type: 'namespace', name: 'collaboration', tools: [fn('send_message', 'to')] }
        ]
      }
      const request = { model, reasoning: { effort: 'medium', context: 'all_turns' } }
      const ask = (prompt: string) => callOf(t, { ...request, input: [additional, user(prompt)] })
      const raw = await ask('use tool functions__exec with {"input":"ls -l"}')
      t.match(raw, { type: 'custom_tool_call', name: 'exec', input: 'ls -l' })
      const wait = await ask('use tool functions__wait with {"ms":"5"}')
      t.match(wait, { type: 'function_call', name: 'wait', namespace: 'functions' })
      const sent = await ask('use tool collaboration__send_message with {"to":"x"}')
      t.match(sent, { name: 'send_message', namespace: 'collaboration' })
    })
  }

  t.test('images in outputs and in user content', async (t) => {
    const image_url = `data:image/png;base64,${PIXEL}`
    const items = await itemsOf(t, {
      model: 'claude-haiku-4.5',
      tools: [fn('view_image', 'path')],
      input: [
        { role: 'user', content: [{ type: 'input_image', image_url, detail: 'auto' }] },
        { type: 'function_call', call_id: 'c1', name: 'view_image', arguments: '{}' },
        {
          type: 'function_call_output',
          call_id: 'c1',
          output: [{ type: 'input_image', image_url }]
        }
      ]
    })
    t.equal(items.length, 1)
    t.equal(JSON.stringify(stand.lastSent).split(PIXEL).length - 1, 2)
  })
}

const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
