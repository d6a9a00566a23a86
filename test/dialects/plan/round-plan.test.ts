import t from 'tap'
import { convert } from '../../helper/convert.ts'
import { requestOptions } from '../../helper/request-options.ts'

const messages = [{ role: 'user', content: 'hi' }]
const f = { name: 'f', input_schema: { type: 'object' } }
const search = { type: 'web_search_20250305', name: 'web_search', max_uses: 2 }

function planOf(request: object, options = requestOptions()) {
  return convert('anthropic-messages', { model: 'auto', messages, ...request }, options)
}

function chatPlanOf(request: object) {
  return convert('openai-chat', { model: 'auto', messages, ...request })
}

t.test('the rounds of a plan', async (t) => {
  t.test('are none for the usual request', async (t) => {
    t.equal(planOf({}).plan.rounds, null)
    t.equal(planOf({ tools: [f] }).plan.rounds, null)
    t.equal(chatPlanOf({ response_format: { type: 'text' } }).plan.rounds, null)
  })

  t.test('know the form of JSON in both dialects', async (t) => {
    const schema = { type: 'object' }
    const form = { type: 'schema', schemaJson: JSON.stringify(schema) }
    const format = { type: 'json_schema', schema }
    t.same(planOf({ output_config: { format } }).plan.rounds?.jsonForm, form)
    t.same(planOf({ output_format: format }).plan.rounds?.jsonForm, form)
    t.same(
      chatPlanOf({ response_format: { type: 'json_schema', json_schema: { schema } } }).plan.rounds
        ?.jsonForm,
      form
    )
    t.same(chatPlanOf({ response_format: { type: 'json_object' } }).plan.rounds?.jsonForm, {
      type: 'object'
    })
  })

  t.test('insist on a call that can be made, by the client’s own name', async (t) => {
    const long = { ...f, name: `mcp__server__${'x'.repeat(90)}` }
    for (const [tool_choice, dueCall] of [
      [{ type: 'any' }, { name: null, oneOf: ['f', long.name] }],
      [{ type: 'tool', name: 'f' }, { name: 'f' }],
      [{ type: 'tool', name: 'F' }, { name: 'f' }],
      [{ type: 'tool', name: long.name }, { name: long.name }],
      [{ type: 'tool', name: 'nobody' }, undefined],
      [{ type: 'auto' }, undefined],
      [{ type: 'none' }, undefined]
    ] as const) {
      t.same(planOf({ tools: [f, long], tool_choice }).plan.rounds?.dueCall, dueCall)
    }
    t.equal(
      planOf({ tool_choice: { type: 'any' } }).plan.rounds,
      null,
      'without tools there is none'
    )
    const allowed = {
      type: 'allowed_tools',
      allowed_tools: { mode: 'required', tools: [{ type: 'function', function: { name: 'f' } }] }
    }
    const chat = chatPlanOf({
      tools: ['f', 'g'].map((name) => ({ type: 'function', function: { name } })),
      tool_choice: allowed
    })
    t.same(chat.plan.rounds?.dueCall, { name: null, oneOf: ['f'] })
    t.same(
      chat.tools.map(({ name }) => name),
      ['f']
    )
  })

  t.test('offer the search as a function of a free name, first of all', async (t) => {
    const { plan, tools } = planOf({ tools: [f, search] })
    t.match(plan.rounds?.webSearch, { toolName: 'web_search', maxUses: 2, opening: null })
    t.same(
      tools.map(({ name }) => name),
      ['web_search', 'f']
    )
    t.same(plan.repairs.includes('server-tool-dropped'), false)
    const own = planOf({ tools: [{ ...f, name: 'web_search' }, search] })
    t.equal(own.plan.rounds?.webSearch?.toolName, 'search_the_web')
    const similar = planOf({ tools: [{ ...f, name: 'web.search' }, search] })
    t.equal(similar.tools[0]?.name, 'web_search')
    t.match(similar.tools[1]?.name, /^web_search_[0-9a-f]{8}$/)
    t.equal(planOf({ tools: [{ ...f, name: 'web_search', type: 'custom' }] }).plan.rounds, null)
  })

  t.test('open with a search where that is all there is', async (t) => {
    t.match(planOf({ tools: [search] }).plan.rounds?.webSearch?.opening, { query: 'hi' })
    t.match(chatPlanOf({ web_search_options: {} }).plan.rounds?.webSearch, {
      opening: { query: 'hi' }
    })
    t.match(chatPlanOf({ tools: [{ type: 'web_search' }] }).plan.rounds?.webSearch, { maxUses: 10 })
    t.equal(chatPlanOf({ web_search_options: null }).plan.rounds, null)
  })

  t.test('have no search where it is switched off or nothing may be called', async (t) => {
    const off = planOf({ tools: [search, f] }, requestOptions({ servesWebSearch: false }))
    t.equal(off.plan.rounds, null)
    t.ok(off.plan.repairs.includes('server-tool-dropped'))
    t.equal(planOf({ tools: [search], tool_choice: { type: 'none' } }).plan.rounds, null)
  })
})
