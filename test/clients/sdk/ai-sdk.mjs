import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, isStepCount, jsonSchema, Output, streamText, tool } from 'ai'
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

const options = { baseURL: `${url}/v1`, apiKey: key }
const models = {
  responses: () => createOpenAI(options)(model),
  chat: () => createOpenAI(options).chat(model),
  messages: () => createAnthropic(options)(model),
  compatible: () => createOpenAICompatible({ ...options, name: 'gateway' })(model)
}
const request = {
  model: models[process.env.AI_PROVIDER](),
  messages: [...earlierMessages(), { role: 'user', content: contentOf(prompt) }],
  ...(mode === 'think' && { providerOptions: reasoningOptions() }),
  onError: ({ error }) => {
    throw error
  }
}
if (mode === 'schema') {
  const output = Output.object({ schema: jsonSchema(placeSchema) })
  const result = await generateText({ ...request, output })
  endSession([], JSON.stringify(result.output))
} else {
  const ask = mode === 'whole' ? generateText : streamText
  const result = await ask({ ...request, tools: toTools(), stopWhen: isStepCount(8) })
  const { messages } = await result.response
  endSession([...request.messages, ...messages], await result.text)
}

function contentOf(text) {
  if (mode !== 'pdf') return text
  const { filename, bytes } = readPdf()
  return [
    { type: 'file', mediaType: 'application/pdf', filename, data: bytes },
    { type: 'text', text }
  ]
}

function reasoningOptions() {
  const include = ['reasoning.encrypted_content']
  return {
    anthropic: { thinking: { type: 'enabled', budgetTokens: 4000 } },
    openai: { reasoningEffort: 'high', forceReasoning: true, store: false, include },
    gateway: { reasoningEffort: 'high' }
  }
}

function toTools() {
  const entries = functions.map(({ name, description, parameters, run }) => [
    name,
    tool({ description, inputSchema: jsonSchema(parameters), execute: run })
  ])
  return Object.fromEntries(entries)
}
