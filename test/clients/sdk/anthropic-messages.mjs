import Anthropic from '@anthropic-ai/sdk'
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

const client = new Anthropic({ baseURL: url, apiKey: key })
const messages = [...earlierMessages(), { role: 'user', content: contentOf(prompt) }]
if (mode === 'schema') await askForObject()
else if (mode === 'runner') await useToolRunner()
else await runTools(mode === 'whole' ? askWhole : askStreamed)

async function runTools(ask) {
  const { input_tokens: counted } = await client.messages.countTokens({ model, messages })
  if (!(counted > 0)) throw new Error('nothing was counted')
  for (;;) {
    const message = await ask({
      model,
      max_tokens: 8000,
      messages,
      tools: functions.map(toTool),
      ...(mode === 'think' && { thinking: { type: 'enabled', budget_tokens: 4000 } })
    })
    if (!(message.usage.output_tokens > 0)) throw new Error('no usage')
    if (mode === 'think' && !message.content.some(({ signature }) => signature?.length > 0))
      throw new Error('no reasoning')
    messages.push({ role: 'assistant', content: message.content })
    if (message.stop_reason !== 'tool_use') return endSession(messages, textOf(message))
    const calls = message.content.filter(({ type }) => type === 'tool_use')
    messages.push({ role: 'user', content: calls.map(toResult) })
  }
}

function contentOf(text) {
  if (mode !== 'pdf') return text
  const { filename: title, bytes } = readPdf()
  const source = { type: 'base64', media_type: 'application/pdf', data: bytes.toString('base64') }
  return [
    { type: 'document', title, source },
    { type: 'text', text }
  ]
}

function toResult({ id, name, input }) {
  return { type: 'tool_result', tool_use_id: id, content: callFunction(name, input) }
}

function askWhole(request) {
  return client.messages.create(request)
}

async function askStreamed(request) {
  const stream = client.messages.stream(request)
  let text = ''
  stream.on('text', (delta) => (text += delta))
  const message = await stream.finalMessage()
  if (text !== textOf(message)) throw new Error('the deltas are not the message')
  return message
}

/** It keeps the conversation on the server if the server can do that, and must find out that this one can't. */
async function useToolRunner() {
  const tools = functions.map(({ run, ...one }) => ({ ...toTool(one), run, parse: (args) => args }))
  const message = await client.beta.messages.toolRunner({
    model,
    max_tokens: 8000,
    messages,
    tools
  })
  endSession(messages, textOf(message))
}

async function askForObject() {
  const format = { type: 'json_schema', schema: placeSchema }
  const request = { model, max_tokens: 8000, messages, output_config: { format } }
  const message = await client.messages.create(request)
  endSession(messages, textOf(message))
}

function textOf({ content }) {
  return content.map((block) => (block.type === 'text' ? block.text : '')).join('')
}

function toTool({ name, description, parameters }) {
  return { name, description, input_schema: parameters }
}
