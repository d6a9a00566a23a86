import { ChatAnthropic } from '@langchain/anthropic'
import { ChatOpenAI } from '@langchain/openai'
import { ChatModelIntegrationTests } from './source/internal/standard-tests/src/integration_tests/vitest.ts'

/**
 * LangChain's standard tests for chat models, with its own clients of all three APIs. As in LangChain's own tests, its OpenAI
 * client asks for `gpt-3.5-turbo`, by which it decides how to ask for structured output.
 */
const { GATEWAY_URL: url, GATEWAY_KEY: apiKey, GATEWAY_MODEL: model, ONLINE } = process.env
const openai = {
  model: 'gpt-3.5-turbo',
  apiKey,
  configuration: { baseURL: `${url}/v1` },
  maxRetries: 0
}
/** What is fetched by the gateway is left out where it could not be. */
const byUrl = ONLINE === undefined ? [] : ['url']
const image = [...byUrl, 'base64', 'dataUrl']

/** LangChain's clients differ in the forms of a file that they send; they refuse the others themselves. */
const clients = {
  'Chat Completions': {
    Cls: ChatOpenAI,
    constructorArgs: { ...openai, useResponsesApi: false },
    supportsStandardContentType: { text: true, image, file: ['dataUrl'] }
  },
  Responses: {
    Cls: ChatOpenAI,
    constructorArgs: { ...openai, useResponsesApi: true },
    supportsStandardContentType: { text: true, image, file: [...byUrl, 'dataUrl'] }
  },
  Messages: {
    Cls: ChatAnthropic,
    constructorArgs: { model, apiKey, anthropicApiUrl: url, maxRetries: 0 },
    supportsStandardContentType: { text: true, image, file: [...byUrl, 'text'] }
  }
}

class GatewayTests extends ChatModelIntegrationTests {
  constructor(fields) {
    super({
      ...fields,
      chatModelHasToolCalling: true,
      chatModelHasStructuredOutput: true,
      supportsParallelToolCalls: true
    })
  }

  /** A test that is left out is not one that has passed. */
  skipTestMessage(_test, _client, reason) {
    throw new Error(`left out: ${reason}`)
  }
}

for (const [name, fields] of Object.entries(clients)) new GatewayTests(fields).runTests(name)
