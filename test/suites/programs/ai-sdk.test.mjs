import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenResponses } from '@ai-sdk/open-responses'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { expect } from 'vitest'
import {
  createFeatureTestSuite,
  createLanguageModelWithCapabilities
} from './source/examples/ai-functions/src/e2e/feature-test-suite.ts'

/** The AI SDK's own end-to-end suite, for each of its providers that can be pointed at the gateway. */
const { GATEWAY_URL: url, GATEWAY_KEY: apiKey, GATEWAY_MODEL: modelId } = process.env
const baseURL = `${url}/v1`
const openai = createOpenAI({ baseURL, apiKey })
const compatible = createOpenAICompatible({
  name: 'gateway',
  baseURL,
  apiKey,
  includeUsage: true,
  supportsStructuredOutputs: true
})
const openResponses = createOpenResponses({ name: 'gateway', url: `${baseURL}/responses`, apiKey })
const anthropic = createAnthropic({ baseURL, apiKey })

const providers = {
  'OpenAI, Responses': (id) => openai.responses(id),
  'OpenAI, Chat Completions': (id) => openai.chat(id),
  'OpenAI-compatible': (id) => compatible.chatModel(id),
  'Open Responses': (id) => openResponses(id),
  Anthropic: (id) => anthropic.messages(id)
}

for (const [name, modelOf] of Object.entries(providers)) {
  createFeatureTestSuite({
    name,
    models: {
      invalidModel: modelOf('no-such-model'),
      languageModels: [createLanguageModelWithCapabilities(modelOf(modelId))]
    },
    timeout: 30_000,
    customAssertions: {
      skipUsage: false,
      errorValidator: ({ statusCode, message }) => {
        expect(statusCode).toBe(404)
        expect(message).toMatch(/no-such-model/)
      }
    }
  })()
}
