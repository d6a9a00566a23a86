import type { Test } from 'tap'
import { type Api, APIS, chat, messages, responses } from './dialects.ts'
import type { Stand } from './stand.ts'

const SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $defs: { Place: { type: 'object', properties: { city: { type: ['string', 'null'] } } } },
  type: 'object',
  properties: {
    place: { $ref: '#/$defs/Place' },
    count: { type: 'integer', maximum: 9_007_199_254_740_991, exclusiveMinimum: 0 },
    mode: { anyOf: [{ const: 'a' }, { type: 'null' }] },
    tags: { type: 'array', items: { oneOf: [{ type: 'string' }, { type: 'number' }] } },
    any: { additionalProperties: {} },
    env: { type: 'object', patternProperties: { '^[A-Z]+$': { type: 'string' } } },
    names: { type: 'object', propertyNames: { pattern: '^[a-z]+$' } },
    when: { type: 'string', format: 'date-time', pattern: '^2', default: '2026-01-01T00:00:00Z' },
    all: { allOf: [{ minimum: 1 }, { maximum: 5 }] }
  },
  required: ['place'],
  additionalProperties: false
}
const LONG_NAME = `mcp__my-server__a_very_long_${'tool_name_'.repeat(9)}`
const SERVER_TOOLS: ReadonlyMap<Api, readonly object[]> = new Map<Api, readonly object[]>([
  [
    messages,
    [
      { type: 'web_search_20250305', name: 'web_search', max_uses: 8 },
      { type: 'web_search_20260209', name: 'web_search' },
      { type: 'code_execution_20250825', name: 'code_execution' },
      { type: 'web_fetch_20250910', name: 'web_fetch' },
      { type: 'computer_20250124', name: 'computer', display_width_px: 1, display_height_px: 1 },
      { type: 'a_server_tool_to_come_20270101', name: 'x' }
    ]
  ],
  [
    responses,
    [
      { type: 'web_search', external_web_access: true },
      { type: 'web_search_preview' },
      { type: 'image_generation', output_format: 'png' },
      { type: 'file_search', vector_store_ids: ['v'] },
      { type: 'code_interpreter', container: { type: 'auto' } },
      { type: 'computer_use_preview' },
      { type: 'mcp', server_label: 'm', server_url: 'https://m.example' },
      { type: 'local_shell' },
      { type: 'a_server_tool_to_come' }
    ]
  ],
  [chat, [{ type: 'web_search' }, { type: 'image_generation' }, { type: 'a_tool_to_come' }]]
])

/** Tools of every kind that clients declare. */
export async function check(t: Test, stand: Stand): Promise<void> {
  for (const api of APIS) {
    const ask = (prompt: string, more: Record<string, unknown>) =>
      stand.call(api.path, { body: api.ask(prompt, { stream: true, ...more }) })
    t.test(api.path, async (t) => {
      t.test('no tools at all', async (t) => {
        for (const tools of [[], null]) t.equal((await ask('hi', { tools })).status, 200)
        t.notMatch(JSON.stringify(stand.lastSent), /"tools"/)
      })

      t.test('schemas as real tools have them', async (t) => {
        const member = api === messages ? 'input_schema' : 'parameters'
        const tools = [api.tool('deploy', { [member]: SCHEMA })]
        const answer = await ask('use tool deploy with {"place":{"city":null}}', { tools })
        t.equal(answer.status, 200, answer.text.slice(0, 200))
        const call = { name: 'deploy', input: { place: { city: null } } }
        t.same(api.readStream(answer.text).calls, [call])
        const { userInputMessageContext: context } =
          stand.lastSent.conversationState.currentMessage.userInputMessage
        const [tool] = context?.tools ?? []
        t.match(tool?.toolSpecification.inputSchema.json, {
          properties: {
            place: { properties: { city: { type: ['string', 'null'] } } },
            count: { maximum: 9_007_199_254_740_991 }
          }
        })
      })

      t.test('descriptions of 20,000 characters: nothing of them is lost', async (t) => {
        const description = `${'Use it well. '.repeat(1600)}THE-END`
        const { status } = await ask('hi', { tools: [api.tool('f', { description })] })
        t.equal(status, 200)
        t.match(JSON.stringify(stand.lastSent), /THE-END/)
      })

      t.test('names of 118 characters, with dots and dashes, come back as they were', async (t) => {
        for (const name of [
          LONG_NAME,
          'mcp__github__get.file-contents',
          '1st_tool',
          'Wetter_für'
        ]) {
          const tools = [api.tool(name), api.tool(`${name}2`)]
          const wire = name.replace(/[^\w-]/g, '_')
          const prompt = `use tool ${wire} with {"city":"Oslo"}`
          const answer = await ask(prompt, { tools, tool_choice: undefined })
          const said = api.readStream(answer.text)
          if (name === LONG_NAME || name.includes('.')) {
            t.same(said.calls, [{ name, input: { city: 'Oslo' } }])
          } else t.equal(answer.status, 200, name)
        }
      })

      t.test('the vendor’s own tools are served or left out, never an error', async (t) => {
        const own = api.tool('mine')
        for (const tool of SERVER_TOOLS.get(api) ?? []) {
          const answer = await ask('use tool mine with {"city":"Oslo"}', { tools: [tool, own] })
          t.equal(answer.status, 200, JSON.stringify(tool))
          t.same(api.readStream(answer.text).calls, [{ name: 'mine', input: { city: 'Oslo' } }])
          const isSearch = JSON.stringify(tool).includes('"web_search')
          const repairs = String(answer.headers['x-kiro-gateway-repairs'] ?? '')
          t.equal(repairs.includes('server-tool-dropped'), !isSearch, JSON.stringify(tool))
          const alone = await ask('hi', { tools: [tool] })
          t.equal(alone.status, 200, `alone: ${JSON.stringify(tool)}`)
        }
      })
    })
  }
}
