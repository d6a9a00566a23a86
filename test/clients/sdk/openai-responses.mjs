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
const input = [...earlierMessages(), { role: 'user', content: contentOf(prompt) }]
const reasoning = { reasoning: { effort: 'high' }, include: ['reasoning.encrypted_content'] }
if (mode === 'schema') await askForObject()
else await runTools(mode === 'whole' ? askWhole : askStreamed)

async function runTools(ask) {
  for (;;) {
    const response = await ask({
      model,
      input,
      tools: functions.map(toTool),
      store: false,
      ...(mode === 'think' && reasoning)
    })
    if (!(response.usage.total_tokens > 0)) throw new Error('no usage')
    if (mode === 'think' && !response.output.some((item) => item.encrypted_content?.length > 0))
      throw new Error('no reasoning')
    input.push(...response.output)
    const calls = response.output.filter(({ type }) => type === 'function_call')
    if (calls.length === 0) return endSession(input, response.output_text)
    for (const { call_id, name, arguments: args } of calls) {
      const output = callFunction(name, JSON.parse(args))
      input.push({ type: 'function_call_output', call_id, output })
    }
  }
}

function contentOf(text) {
  if (mode !== 'pdf') return text
  const { filename, bytes } = readPdf()
  const file_data = `data:application/pdf;base64,${bytes.toString('base64')}`
  return [
    { type: 'input_file', filename, file_data },
    { type: 'input_text', text }
  ]
}

function askWhole(request) {
  return client.responses.create(request)
}

async function askStreamed(request) {
  const stream = client.responses.stream(request)
  let text = ''
  stream.on('response.output_text.delta', ({ delta }) => (text += delta))
  const response = await stream.finalResponse()
  if (text !== response.output_text) throw new Error('the deltas are not the answer')
  return response
}

async function askForObject() {
  const format = { type: 'json_schema', name: 'place', strict: true, schema: placeSchema }
  const response = await client.responses.parse({ model, input, text: { format } })
  endSession(input, JSON.stringify(response.output_parsed))
}

function toTool({ name, description, parameters }) {
  return { type: 'function', name, description, parameters, strict: true }
}
