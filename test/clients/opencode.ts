import { survivesInterruption } from './cli-trials.ts'
import {
  type Api,
  asking,
  BASH_TOOLS,
  binaryOf,
  type Client,
  type Command,
  type Place,
  type Way
} from './client.ts'
import { setUpWay } from './set-up-way.ts'
import { PDF_NAME, sendsPdf, THINKING, THINKING_MODEL } from './upstream-trials.ts'

/** What makes each package ask for reasoning, and bring it back. */
const REASONING: Readonly<Record<string, object>> = {
  '@ai-sdk/openai-compatible': { reasoningEffort: 'high' },
  '@ai-sdk/openai': {
    reasoningEffort: 'high',
    forceReasoning: true,
    store: false,
    include: ['reasoning.encrypted_content']
  },
  '@ai-sdk/anthropic': { thinking: { type: 'enabled', budgetTokens: 4000 } }
}

const CONFIG = '.config/opencode/opencode.json'
const GO_ON = ['--continue']

export const OPENCODE: Client = {
  name: 'OpenCode',
  id: 'opencode',
  packages: { 'opencode-ai': '1.18.33' },
  ways: [
    providerWay('Chat Completions', '@ai-sdk/openai-compatible'),
    providerWay('Responses', '@ai-sdk/openai'),
    providerWay('Messages', '@ai-sdk/anthropic'),
    setUpWay('opencode', CONFIG, {
      api: 'Chat Completions',
      ...asking(plainOpencode, GO_ON),
      tools: BASH_TOOLS
    })
  ]
}

function providerWay(api: Api, npm: string): Way {
  return {
    api,
    files: (place) => ({ [CONFIG]: openCodeConfig(npm, place) }),
    ...asking(opencode, GO_ON),
    tools: BASH_TOOLS,
    more: [
      survivesInterruption(BASH_TOOLS),
      THINKING,
      sendsPdf((prompt, place) => opencode([`--file=${PDF_NAME}`], prompt, place))
    ]
  }
}

function opencode(argv: readonly string[], prompt: string, place: Place): Command {
  return plainOpencode(['--model', `gateway/${place.model}`, ...argv], prompt, place)
}

/** The prompt is read from standard input: OpenCode puts arguments with spaces in quotes. */
function plainOpencode(argv: readonly string[], prompt: string, place: Place): Command {
  const program = binaryOf(place, 'opencode', 'bin/opencode')
  return {
    argv: [program, 'run', ...argv],
    stdin: prompt,
    env: {
      OPENCODE_DISABLE_AUTOUPDATE: '1',
      OPENCODE_DISABLE_MODELS_FETCH: '1',
      OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
      OPENCODE_DISABLE_DEFAULT_PLUGINS: '1'
    }
  }
}

/** Its configuration, which Kilo Code takes as well. */
export function openCodeConfig(npm: string, { url, key, model }: Place): string {
  return JSON.stringify({
    $schema: 'https://opencode.ai/config.json',
    autoupdate: false,
    share: 'disabled',
    permission: { bash: 'allow', edit: 'allow' },
    provider: {
      gateway: {
        npm,
        name: 'gateway',
        options: { baseURL: `${url}/v1`, apiKey: key },
        models: {
          [model]: { name: model },
          [THINKING_MODEL]: {
            name: THINKING_MODEL,
            reasoning: true,
            attachment: true,
            modalities: { input: ['text', 'pdf'], output: ['text'] },
            options: REASONING[npm]
          }
        }
      }
    }
  })
}
