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
import { openCodeConfig } from './opencode.ts'
import { setUpWay } from './set-up-way.ts'
import { THINKING } from './upstream-trials.ts'

const CONFIG = '.config/kilo/kilo.json'
const GO_ON = ['--continue']

/** Of 7.8.1 the registry has no binary for Linux. */
export const KILO_CODE: Client = {
  name: 'Kilo Code',
  id: 'kilo',
  packages: { '@kilocode/cli': '7.7.7' },
  ways: [
    providerWay('Chat Completions', '@ai-sdk/openai-compatible'),
    providerWay('Responses', '@ai-sdk/openai'),
    providerWay('Messages', '@ai-sdk/anthropic'),
    setUpWay('kilo', CONFIG, {
      api: 'Chat Completions',
      ...asking(kilo, GO_ON),
      tools: BASH_TOOLS
    })
  ]
}

function providerWay(api: Api, npm: string): Way {
  return {
    api,
    files: (place) => ({ [CONFIG]: openCodeConfig(npm, place) }),
    ...asking((argv, prompt, place) => kilo([...modelOf(place), ...argv], prompt, place), GO_ON),
    tools: BASH_TOOLS,
    more: [survivesInterruption(BASH_TOOLS), THINKING]
  }
}

function modelOf({ model }: Place): readonly string[] {
  return ['--model', `gateway/${model}`]
}

/** The prompt is read from standard input: Kilo Code puts arguments with spaces in quotes. */
function kilo(argv: readonly string[], prompt: string, place: Place): Command {
  return {
    argv: [binaryOf(place, '@kilocode/cli', 'bin/kilo'), 'run', '--auto', ...argv],
    stdin: prompt,
    env: {
      KILO_DISABLE_AUTOUPDATE: '1',
      KILO_DISABLE_MODELS_FETCH: '1',
      KILO_DISABLE_LSP_DOWNLOAD: '1',
      KILO_DISABLE_DEFAULT_PLUGINS: '1',
      KILO_TELEMETRY_LEVEL: 'off'
    }
  }
}
