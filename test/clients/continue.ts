import {
  type Api,
  type Client,
  type Command,
  type Place,
  programOf,
  shellTools,
  type Way
} from './client.ts'
import { THINKING, THINKING_MODEL } from './upstream-trials.ts'

/** What asks for reasoning; it has no setting of its own that does. */
const REASONING: Readonly<Record<string, object>> = {
  openai: { reasoning_effort: 'high' },
  anthropic: { thinking: { type: 'enabled', budget_tokens: 4000 } }
}
const CONFIG = '.continue/config.yaml'

export const CONTINUE: Client = {
  name: 'Continue',
  id: 'continue',
  packages: { '@continuedev/cli': '1.5.47' },
  ways: [providerWay('Chat Completions', 'openai'), providerWay('Messages', 'anthropic')]
}

function providerWay(api: Api, provider: string): Way {
  return {
    api,
    files: (place) => ({ [CONFIG]: configOf(provider, place) }),
    ask: (prompt, place) => cn(['-p', prompt], place),
    resume: (prompt, place) => cn(['--resume', '-p', prompt], place),
    tools: shellTools((command) => `Bash with ${JSON.stringify({ command })}`),
    dropsReasoning: true,
    more: [THINKING]
  }
}

function cn(argv: readonly string[], place: Place): Command {
  return {
    argv: [programOf(place, 'cn'), '--config', `${place.home}/${CONFIG}`, '--auto', ...argv],
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
