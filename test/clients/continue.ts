import {
  type Api,
  asking,
  type Client,
  type Command,
  type Place,
  programOf,
  shellTools,
  type Way
} from './client.ts'
import { setUpWay } from './set-up-way.ts'
import { THINKING, THINKING_MODEL } from './upstream-trials.ts'

/** What asks for reasoning; it has no setting of its own that does. */
const REASONING: Readonly<Record<string, object>> = {
  openai: { reasoning_effort: 'high' },
  anthropic: { thinking: { type: 'enabled', budget_tokens: 4000 } }
}
const CONFIG = '.continue/config.yaml'
const GO_ON = ['--resume']

const SHELL = shellTools((command) => `Bash with ${JSON.stringify({ command })}`)

export const CONTINUE: Client = {
  name: 'Continue',
  id: 'continue',
  packages: { '@continuedev/cli': '1.5.47' },
  ways: [
    providerWay('Chat Completions', 'openai'),
    providerWay('Messages', 'anthropic'),
    setUpWay('continue', CONFIG, {
      api: 'Chat Completions',
      ...asking((argv, prompt, place) => plainCn([...argv, '-p', prompt], place), GO_ON),
      tools: SHELL
    })
  ]
}

function providerWay(api: Api, provider: string): Way {
  return {
    api,
    files: (place) => ({ [CONFIG]: configOf(provider, place) }),
    ...asking((argv, prompt, place) => cn([...argv, '-p', prompt], place), GO_ON),
    tools: SHELL,
    dropsReasoning: true,
    more: [THINKING]
  }
}

function cn(argv: readonly string[], place: Place): Command {
  return plainCn(['--config', `${place.home}/${CONFIG}`, ...argv], place)
}

function plainCn(argv: readonly string[], place: Place): Command {
  return {
    argv: [programOf(place, 'cn'), '--auto', ...argv],
    env: { CONTINUE_CLI_ENABLE_TELEMETRY: '0', CONTINUE_TELEMETRY_ENABLED: '0' }
  }
}

function configOf(provider: string, { url, key, model }: Place): string {
  return `name: gateway
version: 1.0.0
schema: v1
models:
  - name: gateway
    provider: ${provider}
    model: ${model}
    apiBase: ${url}/v1
    apiKey: ${key}
    roles: [chat]
    requestOptions:
      extraBodyProperties: ${JSON.stringify(model === THINKING_MODEL ? REASONING[provider] : {})}
`
}
