import {
  Agent,
  OpenAIProvider,
  OpenAIResponsesCompactionSession,
  Runner,
  tool
} from '@openai/agents'
import OpenAI from 'openai'
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
if (mode === 'give-up') await giveUp(JSON.parse(prompt))
else if (mode === 'compact') await compact()
else await answer()
await modelProvider.close()

async function answer() {
  const result = await askAgain()
  const answer = mode === 'schema' ? JSON.stringify(result.finalOutput) : result.finalOutput
  endSession(result.history, answer)
}

/** Asks three prompts in one session, and gives the second up by a signal at its first words. */
async function giveUp([first, second, third]) {
  const before = await runner.run(agent, first, { maxTurns: 60 })
  const stop = new AbortController()
  const options = { ...goingOnFrom(before), maxTurns: 60 }
  const input = (text) => (useResponsesWebSocket ? text : [...before.history, userMessage(text)])
  const left = await runner.run(agent, input(second), {
    ...options,
    stream: true,
    signal: stop.signal
  })
  try {
    for await (const delta of left.toTextStream()) {
      if (delta === '' || stop.signal.aborted) continue
      process.stdout.write(`given up at ${Date.now()}\n`)
      stop.abort()
    }
    await left.completed
  } catch (error) {
    if (!stop.signal.aborted) throw error
  }
  const after = await runner.run(agent, input(third), options)
  process.stdout.write(`${before.finalOutput}\n${after.finalOutput}\n`)
}

function hasTwoTurns({ sessionItems }) {
  return sessionItems.length >= 4
}

/** Has the SDK's session replaced by a compaction of it, in both ways that the SDK has, and goes on. */
async function compact() {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key })
  for (const compactionMode of ['input', 'previous_response_id']) {
    const options = { client, model, compactionMode, shouldTriggerCompaction: hasTwoTurns }
    const session = new OpenAIResponsesCompactionSession(options)
    await runner.run(agent, 'Say something.', { session })
    await runner.run(agent, 'Say something else.', { session })
    const types = (await session.getItems()).map(({ type }) => type)
    const { finalOutput } = await runner.run(agent, prompt, { session })
    process.stdout.write(`${compactionMode}: ${types.join(' ')}; ${finalOutput}\n`)
  }
}

function userMessage(content) {
  return { role: 'user', content }
}

/** Over a WebSocket only what is new is sent, if it is told what to go on from. */
function goingOnFrom(result) {
  return useResponsesWebSocket ? { previousResponseId: result.lastResponseId } : {}
}

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
  const input = [...earlierMessages(), userMessage(contentOf(prompt))]
  const isStreamed = mode !== 'whole' && mode !== 'schema'
  const before = useResponsesWebSocket ? await runner.run(agent, 'Hello.') : null
  const result = await runner.run(agent, input, {
    stream: isStreamed,
    maxTurns: 60,
    ...(before !== null && goingOnFrom(before))
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
