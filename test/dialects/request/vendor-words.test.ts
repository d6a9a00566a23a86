import t from 'tap'
import { wordsOf } from '../../../src/dialects/request/blocks.ts'
import { convert } from '../../helper/convert.ts'

/** What the SDK's types allow as the content of a vendor's result, and the words in it. */
const RESULTS: Readonly<Record<string, readonly [content: unknown, words: string]>> = {
  code_execution_tool_result: [
    { type: 'code_execution_result', stdout: 'OUT', stderr: 'ERR', return_code: 1, content: [] },
    'OUT\nERR'
  ],
  bash_code_execution_tool_result: [
    { type: 'bash_code_execution_result', stdout: '', stderr: 'ERR', return_code: 1, content: [] },
    'ERR'
  ],
  text_editor_code_execution_tool_result: [
    {
      type: 'text_editor_code_execution_view_result',
      content: 'THE FILE',
      file_type: 'text',
      num_lines: 1
    },
    'THE FILE'
  ],
  web_fetch_tool_result: [
    {
      type: 'web_fetch_result',
      url: 'https://f.example',
      content: {
        type: 'document',
        title: 'PAGE',
        source: { type: 'text', media_type: 'text/plain', data: 'WORDS' }
      }
    },
    'https://f.example\nPAGE\nWORDS'
  ],
  web_search_tool_result: [
    [
      { type: 'web_search_result', title: 'A', url: 'https://a.example', encrypted_content: 'x y' },
      { type: 'web_search_result', title: 'B', url: 'https://b.example', encrypted_content: 'Zm9v' }
    ],
    'A https://a.example x y\nB https://b.example'
  ],
  tool_search_tool_result: [
    {
      type: 'tool_search_tool_search_result',
      tool_references: [{ type: 'tool_reference', tool_name: 'get_weather' }]
    },
    'get_weather'
  ],
  advisor_tool_result: [{ type: 'advisor_result', text: 'ADVICE' }, 'ADVICE'],
  mcp_tool_result: [[{ type: 'text', text: 'MCP' }], 'MCP'],
  compaction: ['WHAT CAME BEFORE', 'WHAT CAME BEFORE']
}

t.test('what the tools of a vendor found stays in the conversation', async (t) => {
  for (const [type, [content, words]] of Object.entries(RESULTS)) {
    const { history, plan } = convert('anthropic-messages', {
      model: 'auto',
      messages: [
        { role: 'user', content: 'go' },
        { role: 'assistant', content: [{ type, tool_use_id: 's1', content }] },
        { role: 'user', content: 'on' }
      ]
    })
    t.same(history[1], { assistantResponseMessage: { content: words } }, type)
    t.same(plan.repairs, [], `${type} is not left out`)
  }
})

t.test('wordsOf()', async (t) => {
  t.test('says why a tool of a vendor failed', async (t) => {
    const content = { type: 'x_error', error_code: 'unavailable', error_message: 'Later.' }
    t.equal(wordsOf({ type: 'x', content }), 'It failed: unavailable\nLater.')
  })

  t.test('finds the tabs of a browser', async (t) => {
    const tabs = [{ tab_id: '1', title: 'News', url: 'https://n.example', active: true }]
    t.equal(wordsOf({ type: 'browser_state', tabs }), 'News https://n.example')
  })

  t.test('takes no bytes for words', async (t) => {
    const source = { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' }
    t.equal(wordsOf({ type: 'web_fetch_result', content: { type: 'document', source } }), '')
    t.equal(wordsOf({ type: 'container_upload', file_id: 'file_1' }), '')
  })
})
