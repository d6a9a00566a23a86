import { join } from 'node:path'
import { runOpenResponses } from './open-responses.ts'
import { copyPrograms } from './own-programs.ts'
import { runCases, runVitest } from './run-program.ts'
import { checkAnthropicAnswers } from './sdk-types/anthropic-answers.ts'
import { checkOpenAIAnswers } from './sdk-types/openai-answers.ts'
import type { Case, Exclusion, Suite, SuitePlace } from './suite.ts'

const SCHEMA_GENERATOR = { 'ts-json-schema-generator': '2.10.0', typescript: '5.9.3' } as const
const VITEST = { vitest: '4.1.12', vite: '8.3.8' } as const

const NO_AUDIO: Exclusion = { cases: /audio/, reason: 'Kiro has no audio.' }

/** Every suite, in the order of the table. */
export const SUITES: readonly Suite[] = [
  {
    id: 'open-responses',
    name: 'Open Responses: compliance tests over HTTP and WebSocket, and of compaction',
    packages: { zod: '3.25.76', tsx: '4.23.15' },
    source: {
      repository: 'openresponses/openresponses',
      commit: '1e33c10fb3c19480751658eae966dad8e9c91514',
      paths: ['bin', 'src/lib', 'src/generated']
    },
    run: runOpenResponses,
    exclusions: []
  },
  {
    id: 'openai-types',
    name: 'OpenAI SDK: every answer against its types',
    packages: { openai: '7.57.0', ...SCHEMA_GENERATOR },
    run: checkOpenAIAnswers,
    exclusions: []
  },
  {
    id: 'anthropic-types',
    name: 'Anthropic SDK: every answer against its types',
    packages: { '@anthropic-ai/sdk': '1.13.0', ...SCHEMA_GENERATOR },
    run: checkAnthropicAnswers,
    exclusions: []
  },
  {
    id: 'langchain',
    name: 'LangChain: standard tests',
    packages: {
      '@langchain/openai': '1.6.0',
      '@langchain/anthropic': '1.5.11',
      '@langchain/core': '1.4.0',
      zod: '4.4.3',
      ...VITEST
    },
    source: {
      repository: 'langchain-ai/langchainjs',
      commit: '0c376595c92592d15023f83f6d44368e797ad5ce',
      paths: ['internal/standard-tests/src']
    },
    run: (place) => runTestFile('langchain.test.mjs', place.installed, place),
    exclusions: [
      NO_AUDIO,
      {
        cases: /^Chat Completions should return usage metadata for invoke$/,
        reason:
          "LangChain's client of Chat Completions notes the model as `model_name`, and the test looks for `model`."
      },
      {
        cases: /^(?:Chat Completions|Responses) should work with structured output/,
        reason:
          "LangChain's OpenAI client reports its method as `function_calling`, and the test expects `functionCalling`."
      }
    ]
  },
  {
    id: 'ai-sdk',
    name: 'AI SDK: end-to-end feature suite',
    packages: {
      ai: '6.0.325',
      '@ai-sdk/openai': '3.0.141',
      '@ai-sdk/anthropic': '3.0.140',
      '@ai-sdk/openai-compatible': '2.0.92',
      '@ai-sdk/open-responses': '1.0.39',
      zod: '4.4.3',
      ...VITEST
    },
    source: {
      repository: 'vercel/ai',
      commit: '01ab106e549d9bd8f582a2b42480235bac2e0d4a',
      paths: [
        'examples/ai-functions/src/e2e/feature-test-suite.ts',
        'examples/ai-functions/data/comic-cat.png',
        'examples/ai-functions/data/ai.pdf'
      ]
    },
    // The suite reads its files from the working folder.
    run: (place) =>
      runTestFile('ai-sdk.test.mjs', join(place.installed, 'source/examples/ai-functions'), place),
    exclusions: [
      {
        cases: /image URL input$/,
        reason: 'The picture is on the internet, which not every machine reaches.',
        mayPass: true
      },
      {
        cases: /should throw error on stream text attempt with invalid model ID$/,
        reason:
          'Since version 5 the AI SDK hands errors of a stream to `onError` and throws none, whoever answers.'
      },
      {
        cases: /^Open Responses .* should throw error on generate text attempt/,
        reason:
          'The error is right but of another copy of the class: `@ai-sdk/open-responses` brings its own `@ai-sdk/provider`.'
      }
    ]
  },
  {
    id: 'openrouter',
    name: '@openrouter/sdk: every answer against its schemas',
    packages: { '@openrouter/sdk': '1.3.19' },
    run: (place) => {
      copyPrograms(['case.mjs', 'openrouter.mjs'], place)
      return runCases({ argv: [process.execPath, 'openrouter.mjs'], cwd: place.installed }, place)
    },
    exclusions: [
      {
        cases: /^models: list$/,
        reason:
          "OpenRouter's list of models has prices, architectures and providers, which Kiro does not tell."
      },
      {
        cases: /^responses.*: a JSON schema$/,
        reason:
          'A format without a description has `null` there, as in the API of OpenAI and in Open Responses; OpenRouter leaves it out.'
      },
      {
        cases: /^error: /,
        reason:
          "OpenRouter's errors have the status as a number in `code`, where clients of OpenAI want a word."
      }
    ]
  },
  {
    id: 'openai-python',
    name: 'OpenAI SDK for Python: strict response validation',
    packages: {},
    pythonPackage: 'openai',
    run: (place) => runPython('strict_openai.py', place),
    exclusions: [
      {
        cases: /^responses, streamed: reasoning$/,
        reason: 'Versions before 1.71 do not know the events of a summary of reasoning.',
        mayPass: true
      }
    ]
  },
  {
    id: 'anthropic-python',
    name: 'Anthropic SDK for Python: strict response validation',
    packages: {},
    pythonPackage: 'anthropic',
    run: (place) => runPython('strict_anthropic.py', place),
    exclusions: []
  }
]

function runPython(name: string, place: SuitePlace): Promise<readonly Case[]> {
  copyPrograms(['strict_case.py', name], place)
  return runCases({ argv: [place.python, name], cwd: place.installed }, place)
}

function runTestFile(name: string, cwd: string, place: SuitePlace): Promise<readonly Case[]> {
  copyPrograms([name], place)
  return runVitest([name], cwd, place)
}
