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
  readPdf,
  url
} from './session.mjs'

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key })
const messages = [...earlierMessages(), { role: 'user', content: contentOf(prompt) }]
if (mode === 'schema') await askForObject()
else if (mode === 'whole') await runUnstreamed()
else await runStreamed()

async function runStreamed() {
  for (;;) {
    const stream = client.chat.completions.stream({
      model,
      messages,
      tools: functions.map(toTool),
      stream_options: { include_usage: true },
      ...(mode === 'think' && { reasoning_effort: 'high' })
    })
    let text = ''
    let reasoning = ''
    stream.on('content', (delta) => (text += delta))
    stream.on('chunk', ({ choices: [choice] }) => {
      reasoning += choice?.delta.reasoning_content ?? ''
    })
    const completion = await stream.finalChatCompletion()
    const { message, finish_reason: reason } = completion.choices[0]
    if (!(completion.usage.total_tokens > 0)) throw new Error('no usage')
    if (text !== (message.content ?? '')) throw new Error('the deltas are not the message')
    if (mode === 'think' && reasoning === '') throw new Error('no reasoning')
    messages.push(message)
    if (reason !== 'tool_calls') return endSession(messages, text)
    for (const { id, function: call } of message.tool_calls) {
      const content = callFunction(call.name, JSON.parse(call.arguments))
      messages.push({ role: 'tool', tool_call_id: id, content })
    }
  }
}

function contentOf(text) {
  if (mode !== 'pdf') return text
  const { filename, bytes } = readPdf()
  const file_data = `data:application/pdf;base64,${bytes.toString('base64')}`
  return [
    { type: 'file', file: { filename, file_data } },
    { type: 'text', text }
  ]
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
