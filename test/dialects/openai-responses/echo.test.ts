import t from 'tap'
import { convert } from '../../helper/convert.ts'

t.test('an answer can repeat its request', async (t) => {
  t.test('as it was sent, and nothing else of it', async (t) => {
    const members = {
      instructions: 'I',
      tools: [{ type: 'web_search' }],
      tool_choice: { type: 'function', name: 'f' },
      parallel_tool_calls: false,
      temperature: 0,
      top_p: 0.5,
      presence_penalty: 0.1,
      frequency_penalty: -0.1,
      top_logprobs: 0,
      max_output_tokens: 100,
      max_tool_calls: 3,
      metadata: { a: 'b' },
      text: { format: { type: 'text' }, verbosity: 'low' },
      reasoning: { effort: 'high', summary: 'auto', context: 'all_turns' },
      truncation: 'auto',
      user: 'u',
      safety_identifier: 's',
      prompt_cache_key: 'p'
    }
    t.strictSame(
      echoOf({ ...members, store: false, stream: false, include: [], client_metadata: {} }),
      members
    )
  })

  t.test('without what was not set', async (t) => {
    t.strictSame(echoOf({}), {})
    t.strictSame(echoOf({ instructions: null, tools: null, metadata: null }), {})
  })

  t.test('without what is too large to be sent three times', async (t) => {
    const atLimit = 'x'.repeat(16_384)
    t.strictSame(echoOf({ instructions: atLimit, user: 'u' }), { instructions: atLimit, user: 'u' })
    t.strictSame(echoOf({ instructions: `${atLimit}x`, user: 'u' }), { user: 'u' })
    const tool = { type: 'custom', name: 'f', description: 'x'.repeat(16_000) }
    t.strictSame(echoOf({ tools: [tool] }), { tools: [tool] })
    t.strictSame(echoOf({ tools: [tool, { ...tool, name: 'g' }] }), {})
  })

  t.test('functions with all that the vendor says of them, however they were sent', async (t) => {
    const parameters = { type: 'object', properties: {} }
    const whole = { type: 'function', name: 'f', description: null, parameters, strict: null }
    const bare = { ...whole, parameters: null }
    const all = { ...whole, description: 'F', strict: true, defer_loading: true }
    for (const [sent, echoed] of [
      [{ type: 'function', name: 'f' }, bare],
      [{ name: 'f' }, bare],
      [{ type: 'function', name: 'f', parameters: null }, bare],
      [{ type: 'function', name: 'f', parameters }, whole],
      [{ type: 'function', name: 'f', input_schema: parameters }, whole],
      [{ type: 'function', function: { name: 'f', parameters } }, whole],
      [all, all]
    ]) {
      t.strictSame(echoOf({ tools: [sent] }), { tools: [echoed] })
    }
  })

  t.test('the choice of a tool in the words of this API', async (t) => {
    const named = { type: 'function', name: 'f' }
    const tools = [{ ...named, description: null, parameters: null, strict: null }]
    for (const [sent, echoed] of [
      ['any', 'required'],
      [{ type: 'any' }, 'required'],
      [{ type: 'required' }, 'required'],
      [{ type: 'none' }, 'none'],
      [{ type: 'auto' }, 'auto'],
      [{ type: 'function', function: { name: 'f' } }, named],
      [named, named],
      [
        { type: 'allowed_tools', tools: [named] },
        { type: 'allowed_tools', mode: 'auto', tools: [named] }
      ],
      [
        { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', function: named }] },
        { type: 'allowed_tools', mode: 'required', tools: [named] }
      ]
    ]) {
      t.strictSame(echoOf({ tools, tool_choice: sent }), { tools, tool_choice: echoed })
    }
  })

  t.test('formats and reasoning with all of their members', async (t) => {
    const schema = { type: 'object' }
    const told = { type: 'json_schema', description: null, strict: false, name: 'n', schema }
    for (const [sent, echoed] of [
      [{ text: { verbosity: 'low' } }, { format: { type: 'text' }, verbosity: 'low' }],
      [{ text: { format: { type: 'json_object' } } }, { format: { type: 'json_object' } }],
      [{ text: { format: { type: 'json_schema', name: 'n', schema } } }, { format: told }],
      [
        { response_format: { type: 'json_schema', json_schema: { name: 'n', schema } } },
        { format: told }
      ]
    ]) {
      t.strictSame(echoOf(sent as object), { text: echoed })
    }
    t.strictSame(echoOf({ reasoning: { effort: 'low' } }), {
      reasoning: { effort: 'low', summary: null }
    })
  })

  t.test('without the service tier: there is one', async (t) => {
    t.strictSame(echoOf({ service_tier: 'priority' }), {})
  })
})

t.test('one session of Responses requests has one conversation id', async (t) => {
  const key = { prompt_cache_key: 's1' }
  const thread = { client_metadata: { thread_id: 't1' } }
  t.equal(idOf(key), idOf({ ...key, input: 'something else', user: 'u2' }))
  t.not(idOf(key), idOf({ prompt_cache_key: 's2' }))
  t.equal(idOf(thread), idOf({ ...thread, input: 'something else', user: 'u2' }))
  t.not(idOf(thread), idOf({ client_metadata: { thread_id: 't2' } }))
  t.not(idOf({ user: 'u' }), idOf({ user: 'u', input: 'something else' }), 'a user has many')
  for (const unset of [{ prompt_cache_key: '' }, { client_metadata: { thread_id: 7 } }, {}]) {
    t.equal(idOf(unset), idOf({}))
    t.not(idOf(unset), idOf({ ...unset, input: 'something else' }))
  }
})

function echoOf(more: object) {
  const { plan } = convert('openai-responses', { model: 'auto', input: 'hi', ...more })
  return Object.fromEntries(
    Object.entries(plan.asked.own.echo).map(([name, json]) => [name, JSON.parse(json)])
  )
}

function idOf(more: object) {
  return convert('openai-responses', { model: 'auto', input: 'hi', ...more }).payload
    .conversationState.conversationId
}
