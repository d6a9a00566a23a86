import t from 'tap'
import { jsonInstruction } from '../../../src/kiro/conversation/json-instruction.ts'
import { viewRequest } from '../../../src/simulator/request-view.ts'
import { actOn } from './acting-model.ts'

interface Asked {
  readonly content: string
  readonly tools?: readonly object[]
  readonly toolResults?: readonly object[]
  readonly images?: readonly object[]
  readonly history?: readonly object[]
}

function act(asked: Asked, documents: readonly string[] = []): string | null {
  const { content, history, images, ...context } = asked
  const hasContext = Object.keys(context).length > 0
  const userInputMessage = {
    content,
    ...(images !== undefined && { images }),
    ...(hasContext && { userInputMessageContext: context })
  }
  const currentMessage = { userInputMessage }
  const conversationState = { currentMessage, ...(history !== undefined && { history }) }
  const view = viewRequest({ conversationState }, 'path')
  return actOn(view, documents)
}

function tool(name: string, properties: object): object {
  const json = { type: 'object', properties }
  return { toolSpecification: { name, description: name, inputSchema: { json } } }
}

const WEATHER = tool('get_weather', { location: { type: 'string' } })
const TIME = tool('get_time', { location: { type: 'string' } })
const MUSIC = tool('play', { temperature: { type: 'number' } })
const CALCULATOR = tool('calculator', { expression: { type: 'string' } })

function called(name: string, question: string): readonly object[] {
  const toolUses = [{ toolUseId: 'id', name, input: {} }]
  return [
    { userInputMessage: { content: question } },
    { assistantResponseMessage: { content: '', toolUses } }
  ]
}

function result(text: string): object {
  return { toolUseId: 'id', content: [{ text }], status: 'success' }
}

t.test(
  'leaves a plain text, and prompts with words for the simulator, to the simulator',
  async (t) => {
    t.equal(act({ content: 'Hello' }), null)
    t.equal(act({ content: 'sim:stall', tools: [WEATHER] }), null)
    t.equal(
      act({ content: 'use tool get_weather with {"location":"Oslo"}', tools: [WEATHER] }),
      null
    )
  }
)

t.test('calls the tool that it has, with what the question says', async (t) => {
  t.equal(
    act({ content: 'How is the weather?', tools: [WEATHER] }),
    'use tools get_weather with {"location":"San Francisco"}'
  )
  t.equal(
    act({ content: 'What is 2+2? Use the calculator tool.', tools: [CALCULATOR] }),
    'use tools calculator with {"expression":"2+2"}'
  )
})

t.test(
  'calls all tools that the question names at once, and others one after the other',
  async (t) => {
    const both = [WEATHER, TIME]
    t.match(
      act({ content: "Call 'get_weather' and 'get_time'.", tools: both }),
      /get_weather with .* and get_time with /
    )
    const question = 'Play music for the weather.'
    const history = called('get_weather', question)
    const asked = { content: '', history, tools: [WEATHER, MUSIC], toolResults: [result('15')] }
    t.equal(act(asked), 'use tools play with {"temperature":15}')
  }
)

t.test('answers when every tool was called', async (t) => {
  const history = called('get_weather', 'How is the weather?')
  t.equal(act({ content: '', history, tools: [WEATHER], toolResults: [result('sunny')] }), null)
})

t.test('answers in the JSON that is asked for', async (t) => {
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string' },
      age: { type: 'number', maximum: 30 },
      theme: { enum: ['light', 'dark'] },
      item: { $ref: '#/$defs/item' },
      tags: { type: 'array', items: { type: 'string' }, maxItems: 2 }
    },
    $defs: { item: { type: 'object', properties: { isOpen: { type: 'boolean' } } } }
  }
  const content = `${jsonInstruction(schema)}\n\nGo.`
  const [, said = ''] = /^sim:say=(.*)$/.exec(act({ content }) ?? '') ?? []
  const value = JSON.parse(JSON.parse(said))
  t.match(value, { name: /\w{4}/, age: 30, theme: 'light', item: { isOpen: true } })
  t.equal(value.tags.length, 2)
})

t.test('says what it sees and reads', async (t) => {
  const image = { format: 'png', source: { bytes: '' } }
  t.match(act({ content: 'What is it?', images: [image] }), /cat/)
  t.match(act({ content: 'What does it say?' }, ['about embeddings']), /about embeddings/)
})
