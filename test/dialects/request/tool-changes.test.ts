import t from 'tap'
import { convert, refusalOf } from '../../helper/convert.ts'

const schema = { type: 'object', properties: { city: { type: 'string' } } }
const tool = (name: string, description = name) => ({ name, description, input_schema: schema })
const reference = (name: string) => ({ type: 'tool_reference', name })
const definition = (one: object) => ({ type: 'tool_definition', definition: one })
const add = (change: object) => ({ type: 'tool_addition', tool: change })
const remove = (change: object) => ({ type: 'tool_removal', tool: change })

/** A conversation that goes on after these blocks of a system message. */
function ask(...blocks: object[]) {
  return {
    model: 'auto',
    tools: [tool('get_weather'), tool('get_news')],
    messages: [
      { role: 'user', content: 'hi' },
      { role: 'system', content: blocks },
      { role: 'assistant', content: 'ok' },
      { role: 'user', content: 'go on' }
    ]
  }
}

function offered(...blocks: object[]) {
  const { tools, history, plan } = convert('anthropic-messages', ask(...blocks))
  return {
    names: tools.map(({ name }) => name),
    descriptions: tools.map(({ description }) => description),
    said: JSON.stringify(history[0]),
    repairs: plan.repairs.filter((code) => code !== 'system-as-user' && code !== 'turns-merged')
  }
}

t.test('a tool that is defined in the middle of a conversation can be called', async (t) => {
  const { names, said, repairs } = offered(add(definition(tool('get_time'))))
  t.same(names, ['get_weather', 'get_news', 'get_time'])
  t.match(said, 'The tool \\"get_time\\" is now available.')
  t.same(repairs, [])
})

t.test('a tool that was withdrawn is not offered', async (t) => {
  const { names, said, repairs } = offered(remove(reference('get_news')))
  t.same(names, ['get_weather'])
  t.match(said, 'The tool \\"get_news\\" is no longer available.')
  t.same(repairs, [])
})

t.test('the last change of a tool is the one that holds', async (t) => {
  const news = reference('get_news')
  t.same(offered(remove(news), add(news)).names, ['get_weather', 'get_news'])
  t.same(offered(add(news), remove(news)).names, ['get_weather'])
  const { names, descriptions } = offered(
    add(definition(tool('get_time', 'old'))),
    remove(reference('get_time')),
    add(definition(tool('get_time', 'new')))
  )
  t.same(names, ['get_weather', 'get_news', 'get_time'])
  t.equal(descriptions[2], 'new')
})

t.test('changes that a compaction stands for hold, too', async (t) => {
  const { names, said } = offered({
    type: 'compaction',
    content: 'What came before.',
    tool_changes: [remove(reference('get_news')), add(definition(tool('get_time')))]
  })
  t.same(names, ['get_weather', 'get_time'])
  t.match(said, 'What came before.')
})

t.test('a definition that is none is refused by its place', async (t) => {
  t.match(refusalOf('anthropic-messages', ask(add(definition({ name: 'x', description: 7 })))), {
    code: 'GW_BODY_INVALID',
    param: 'messages[1].content[0].tool.definition.description'
  })
})

t.test('a tool of the vendor that is defined there is left out, and said to be', async (t) => {
  const { names, repairs } = offered(
    add(definition({ type: 'web_search_20250305', name: 'web_search' }))
  )
  t.same(names, ['get_weather', 'get_news'])
  t.same(repairs, ['server-tool-dropped'])
})

t.test('a change that names no tool is left out', async (t) => {
  for (const change of [null, 7, {}, { type: 'tool_reference', name: 5 }]) {
    const { names, repairs } = offered({ type: 'tool_removal', tool: change })
    t.same(names, ['get_weather', 'get_news'])
    t.same(repairs, ['block-dropped'])
  }
})
