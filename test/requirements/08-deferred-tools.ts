import type { Test } from 'tap'
import { MESSAGES, messages } from './dialects.ts'
import type { Stand } from './stand.ts'

const EMPTY = { type: 'object', properties: {} }
const PLACEHOLDER = {
  name: 'DeferredToolPlaceholder',
  description: 'Stands for tools that are loaded later.',
  input_schema: {},
  defer_loading: true
}
const SEARCH = {
  name: 'ToolSearch',
  description: 'Loads tools.',
  input_schema: { type: 'object', properties: { query: { type: 'string' } } }
}
const DEFERRED = {
  name: 'WebSearch',
  description: 'Searches.',
  input_schema: { type: 'object', properties: { query: { type: 'string' } } },
  defer_loading: true
}

/** Claude Code’s deferred tools: found by a search, then on offer; their stand-in never is. */
export async function check(t: Test, stand: Stand): Promise<void> {
  const toolNames = (): readonly string[] => {
    const { userInputMessageContext: context } =
      stand.lastSent.conversationState.currentMessage.userInputMessage
    return (context?.tools ?? []).map(({ toolSpecification }) => toolSpecification.name)
  }

  t.test('the stand-in is not offered', async (t) => {
    const tools = [SEARCH, PLACEHOLDER, { name: 'Bash', input_schema: EMPTY }]
    const prompt = 'call tool DeferredToolPlaceholder'
    for (const stream of [false, true]) {
      const { status, text } = await stand.call(MESSAGES, {
        body: messages.ask(prompt, { stream, tools })
      })
      t.equal(status, 200)
      t.notMatch(text, /"type":"tool_use"/)
      t.same(toolNames(), ['ToolSearch', 'Bash'])
    }
    const alone = await stand.call(MESSAGES, { body: messages.ask('hi', { tools: [PLACEHOLDER] }) })
    t.equal(alone.status, 200)
    t.same(toolNames(), [])
  })

  t.test('what a search found is told in words, and can be called', async (t) => {
    const body = messages.ask('', {
      stream: true,
      tools: [SEARCH, PLACEHOLDER, DEFERRED],
      messages: [
        { role: 'user', content: 'Search the web.' },
        {
          role: 'assistant',
          content: [
            { type: 'tool_use', id: 't1', name: 'ToolSearch', input: { query: 'select:WebSearch' } }
          ]
        },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: 't1',
              content: [{ type: 'tool_reference', tool_name: 'WebSearch' }]
            },
            { type: 'text', text: 'use tool WebSearch with {"query":"kiro"}' }
          ]
        }
      ]
    })
    const { text } = await stand.call(MESSAGES, { body })
    t.same(messages.readStream(text).calls, [{ name: 'WebSearch', input: { query: 'kiro' } }])
    t.same(toolNames(), ['ToolSearch', 'WebSearch'])
    const { userInputMessage } = stand.lastSent.conversationState.currentMessage
    const [result] = userInputMessage.userInputMessageContext?.toolResults ?? []
    t.match(result?.content[0].text, /WebSearch/)
  })
}
