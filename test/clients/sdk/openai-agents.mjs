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
  url
} from './session.mjs'

const useResponses = process.env.AGENTS_API === 'responses'
const modelProvider = new OpenAIProvider({ baseURL: `${url}/v1`, apiKey: key, useResponses })
const runner = new Runner({ modelProvider, tracingDisabled: true })
const outputType = { type: 'json_schema', name: 'place', strict: true, schema: placeSchema }
const agent = new Agent({
  name: 'Writer',
  instructions: 'Do what the user says.',
  model,
  ...(mode === 'schema' ? { outputType } : { tools: functions.map(toTool) })
})
const input = [...earlierMessages(), { role: 'user', content: prompt }]
const isStreamed = mode !== 'whole' && mode !== 'schema'
const result = await runner.run(agent, input, { stream: isStreamed })
if (isStreamed) {
  let text = ''
  for await (const delta of result.toTextStream()) text += delta
  await result.completed
  if (!text.endsWith(result.finalOutput)) throw new Error('the deltas are not the answer')
}
const answer = mode === 'schema' ? JSON.stringify(result.finalOutput) : result.finalOutput
endSession(result.history, answer)

function toTool({ name, description, parameters, run }) {
  return tool({ name, description, parameters, strict: true, execute: run })
}
