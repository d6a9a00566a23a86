import { ChatAnthropic } from '@langchain/anthropic'
import { ChatOpenAI } from '@langchain/openai'
import {
  mapChatMessagesToStoredMessages,
  mapStoredMessagesToChatMessages
} from '@langchain/core/messages'
import { createAgent, tool } from 'langchain'
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

const api = process.env.LANGCHAIN_API
const chat =
  api === 'messages'
    ? new ChatAnthropic({
        model,
        apiKey: key,
        anthropicApiUrl: url,
        maxTokens: 8000,
        maxRetries: 2,
        ...(mode === 'think' && { thinking: { type: 'adaptive' } })
      })
    : new ChatOpenAI({
        model,
        apiKey: key,
        maxRetries: 2,
        useResponsesApi: api === 'responses',
        ...(mode === 'think' && { zdrEnabled: true, modelKwargs: reasoningWishes() }),
        configuration: { baseURL: `${url}/v1` }
      })
if (mode === 'schema') {
  const method = 'jsonSchema'
  const place = await chat
    .withStructuredOutput(placeSchema, { name: 'place', method })
    .invoke(prompt)
  endSession([], JSON.stringify(place))
} else {
  const agent = createAgent({ model: chat, tools: functions.map(toTool) })
  const earlier = mapStoredMessagesToChatMessages(earlierMessages())
  const request = { messages: [...earlier, { role: 'user', content: contentOf(prompt) }] }
  const { messages } =
    mode === 'whole' ? await agent.invoke(request) : await lastState(agent, request)
  endSession(mapChatMessagesToStoredMessages(messages), messages.at(-1).text)
}

function contentOf(text) {
  if (mode !== 'pdf') return text
  const { filename, bytes } = readPdf()
  const file = {
    type: 'file',
    source_type: 'base64',
    mime_type: 'application/pdf',
    data: bytes.toString('base64'),
    metadata: { filename, title: filename }
  }
  return [file, { type: 'text', text }]
}

/** Its own settings for reasoning count for models of names that it knows. */
function reasoningWishes() {
  if (api === 'chat') return { reasoning_effort: 'high' }
  return { reasoning: { effort: 'high' }, include: ['reasoning.encrypted_content'] }
}

async function lastState(agent, request) {
  let state = null
  let tokens = 0
  for await (const [kind, value] of await agent.stream(request, {
    streamMode: ['messages', 'values']
  })) {
    if (kind === 'values') state = value
    else tokens += 1
  }
  if (tokens < 2) throw new Error('nothing was streamed')
  return state
}

function toTool({ name, description, parameters, run }) {
  return tool(run, { name, description, schema: parameters })
}
