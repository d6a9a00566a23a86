import { survivesInterruption } from './cli-trials.ts'
import {
  type Api,
  binaryOf,
  type Client,
  type Command,
  type Place,
  shellTools,
  type Way
} from './client.ts'
import { openCodeConfig } from './opencode.ts'
import { setUpWay } from './set-up-way.ts'
import { THINKING } from './upstream-trials.ts'

const CONFIG = '.config/kilo/kilo.json'

const SHELL = shellTools(
  (command) => `bash with ${JSON.stringify({ command, description: 'runs it' })}`
)

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
      ask: (prompt, place) => kilo([], prompt, place),
      resume: (prompt, place) => kilo(['--continue'], prompt, place),
      tools: SHELL
    })
  ]
}

function providerWay(api: Api, npm: string): Way {
  return {
    api,
    files: (place) => ({ [CONFIG]: openCodeConfig(npm, place) }),
    ask: (prompt, place) => kilo(modelOf(place), prompt, place),
    resume: (prompt, place) => kilo([...modelOf(place), '--continue'], prompt, place),
    tools: SHELL,
    more: [survivesInterruption(SHELL), THINKING]
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
