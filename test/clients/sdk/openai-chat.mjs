import OpenAI from 'openai'
import {
  earlierMessages,
  endSession,
  functions,
  callFunction,
  key,
  mode,
  model,
  placeSchema,
  prompt,
  url
} from './session.mjs'

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key })
const messages = [...earlierMessages(), { role: 'user', content: prompt }]
if (mode === 'schema') await askForObject()
else if (mode === 'whole') await runUnstreamed()
else await runStreamed()

async function runStreamed() {
  for (;;) {
    const stream = client.chat.completions.stream({
      model,
      messages,
      tools: functions.map(toTool),
      stream_options: { include_usage: true }
    })
    let text = ''
    stream.on('content', (delta) => (text += delta))
    const completion = await stream.finalChatCompletion()
    const { message, finish_reason: reason } = completion.choices[0]
    if (!(completion.usage.total_tokens > 0)) throw new Error('no usage')
    if (text !== (message.content ?? '')) throw new Error('the deltas are not the message')
    messages.push(message)
    if (reason !== 'tool_calls') return endSession(messages, text)
    for (const { id, function: call } of message.tool_calls) {
      const content = callFunction(call.name, JSON.parse(call.arguments))
      messages.push({ role: 'tool', tool_call_id: id, content })
    }
  }
}

async function runUnstreamed() {
  const runner = client.chat.completions.runTools({
    model,
    messages,
    tools: functions.map(({ name, description, parameters, run }) => ({
      type: 'function',
      function: { name, description, parameters, function: run, parse: JSON.parse }
    }))
  })
  endSession(runner.messages, await runner.finalContent())
}

async function askForObject() {
  const json_schema = { name: 'place', strict: true, schema: placeSchema }
  const response_format = { type: 'json_schema', json_schema }
  const completion = await client.chat.completions.parse({ model, messages, response_format })
  endSession(messages, JSON.stringify(completion.choices[0].message.parsed))
}

function toTool({ name, description, parameters }) {
  return { type: 'function', function: { name, description, parameters, strict: true } }
}
