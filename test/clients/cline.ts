import {
  type Api,
  type Client,
  type Command,
  type Place,
  programOf,
  shellTools,
  type Way
} from './client.ts'
import { setUpWay } from './set-up-way.ts'
import { THINKING, THINKING_GPT } from './upstream-trials.ts'

const SHELL = shellTools(
  (command) => `run_commands with ${JSON.stringify({ commands: [command] })}`
)

const FREE = ['--auto-approve', 'true']
const SETTINGS = '.cline/data/settings/providers.json'

export const CLINE: Client = {
  name: 'Cline',
  id: 'cline',
  packages: { cline: '3.0.65' },
  ways: [
    {
      ...providerWay('Chat Completions', 'openai-compatible'),
      files: () => ({}),
      setUp: (place) => [
        cline(['auth', '-p', 'openai-compatible', '-k', place.key, ...addressOf(place)], place)
      ]
    },
    {
      ...providerWay('Responses', 'openai-native'),
      dropsReasoning: true,
      // Of names that it does not know it asks for none in this API.
      thinkingModel: THINKING_GPT
    },
    { ...providerWay('Messages', 'anthropic'), dropsReasoning: true },
    setUpWay('cline', SETTINGS, {
      api: 'Chat Completions',
      ask: (prompt, place) => cline([...FREE, prompt], place),
      tools: SHELL
    })
  ]
}

/** Its `auth` command takes an address for one provider only; for the others the file has to be written. */
function providerWay(api: Api, provider: string): Way {
  return {
    api,
    files: (place) => ({ [SETTINGS]: settingsOf(provider, place) }),
    ask: (prompt, place) => cline([...FREE, prompt], place),
    think: (prompt, place) => cline([...FREE, '--thinking', 'high', prompt], place),
    tools: SHELL,
    more: [THINKING]
  }
}

function cline(argv: readonly string[], place: Place): Command {
  return { argv: [programOf(place, 'cline'), ...argv] }
}

function addressOf({ url, model }: Place): readonly string[] {
  return ['-b', `${url}/v1`, '-m', model]
}

function settingsOf(provider: string, { url, key, model }: Place): string {
  const settings = { provider, apiKey: key, model, baseUrl: `${url}/v1` }
  const entry = { settings, updatedAt: new Date().toISOString(), tokenSource: 'manual' }
  const providers = { [provider]: entry }
  return JSON.stringify({ version: 1, lastUsedProvider: provider, modes: {}, providers })
}
