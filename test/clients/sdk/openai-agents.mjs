import { Agent, OpenAIProvider, Runner, tool } from '@openai/agents'
import {
  earlierMessages,
  endSession,
  functions,
  key,
  mode,
  model,
  placeSchema,
  prompt,
  readPdf,
  url
} from './session.mjs'

const useResponses = process.env.AGENTS_API !== 'chat'
const useResponsesWebSocket = process.env.AGENTS_API === 'websocket'
const modelProvider = new OpenAIProvider({
  baseURL: `${url}/v1`,
  apiKey: key,
  useResponses,
  useResponsesWebSocket
})
const runner = new Runner({ modelProvider, tracingDisabled: true })
const outputType = { type: 'json_schema', name: 'place', strict: true, schema: placeSchema }
const reasoning = {
  reasoning: { effort: 'high' },
  store: false,
  providerData: useResponses ? { include: ['reasoning.encrypted_content'] } : {}
}
const agent = new Agent({
  name: 'Writer',
  instructions: 'Do what the user says.',
  model,
  ...(mode === 'think' && { modelSettings: reasoning }),
  ...(mode === 'schema' ? { outputType } : { tools: functions.map(toTool) })
})
const input = [...earlierMessages(), { role: 'user', content: contentOf(prompt) }]
const isStreamed = mode !== 'whole' && mode !== 'schema'
const result = await askAgain()
const answer = mode === 'schema' ? JSON.stringify(result.finalOutput) : result.finalOutput
endSession(result.history, answer)
await modelProvider.close()

/**
 * Over a WebSocket that is cut, the SDK does not know what became of a request, and leaves it to its user to ask again. A restart
 * of the gateway cuts once for each of its workers.
 */
async function askAgain(cuts = 0) {
  try {
    return await ask()
  } catch (error) {
    if (error.unsafeToReplay !== true || cuts === 3) throw error
    return askAgain(cuts + 1)
  }
}

async function ask() {
  // It sends only what is new if it is told what to go on from.
  const before = useResponsesWebSocket ? await runner.run(agent, 'Hello.') : null
  const result = await runner.run(agent, input, {
    stream: isStreamed,
    maxTurns: 60,
    ...(before !== null && { previousResponseId: before.lastResponseId })
  })
  if (!isStreamed) return result
  let text = ''
  for await (const delta of result.toTextStream()) text += delta
  await result.completed
  if (!text.endsWith(result.finalOutput)) throw new Error('the deltas are not the answer')
  return result
}

function contentOf(text) {
  if (mode !== 'pdf') return text
  const { filename, bytes } = readPdf()
  const file = `data:application/pdf;base64,${bytes.toString('base64')}`
  return [
    { type: 'input_file', file, filename },
    { type: 'input_text', text }
  ]
}

function toTool({ name, description, parameters, run }) {
  return tool({ name, description, parameters, strict: true, execute: run })
}
