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
import { THINKING } from './upstream-trials.ts'

const QUIET: readonly string[] = ['--silent']
const GO_ON = ['--continue']

export const COPILOT: Client = {
  name: 'Copilot CLI',
  id: 'copilot',
  packages: { '@github/copilot': '1.0.102' },
  ways: [
    providerWay('Chat Completions', { path: '/v1' }),
    providerWay('Responses', { path: '/v1', COPILOT_PROVIDER_WIRE_API: 'responses' }),
    {
      ...providerWay('Responses', {
        path: '/v1',
        COPILOT_PROVIDER_WIRE_API: 'responses',
        COPILOT_PROVIDER_TRANSPORT: 'websockets'
      }),
      note: 'WebSocket'
    },
    providerWay('Messages', { path: '', COPILOT_PROVIDER_TYPE: 'anthropic' }),
    setUpWay('copilot', '.copilot/providers.json', {
      api: 'Responses',
      ...asking((argv, prompt, place) => copilot([...QUIET, ...argv, '-p', prompt], place), GO_ON),
      tools: BASH_TOOLS
    })
  ]
}

interface Provider {
  /** Of the base URL. */
  readonly path: string
  readonly [variable: `COPILOT_${string}`]: string
}

function providerWay(api: Api, { path, ...variables }: Provider): Way {
  const withProvider = (argv: readonly string[], place: Place, quiet = QUIET): Command => {
    const { env, ...command } = copilot([...quiet, ...argv], place)
    const own = {
      COPILOT_PROVIDER_BASE_URL: place.url + path,
      COPILOT_PROVIDER_API_KEY: place.key,
      COPILOT_MODEL: place.model
    }
    return { ...command, env: { ...env, ...own, ...variables } }
  }
  return {
    api,
    ...asking((argv, prompt, place) => withProvider([...argv, '-p', prompt], place), GO_ON),
    think: (prompt, place) => withProvider(['--reasoning-effort', 'high', '-p', prompt], place),
    chat: {
      command: (place) => withProvider([], place, []),
      files: ({ project }) => ({
        '.copilot/config.json': JSON.stringify({ trusted_folders: [project], banner: 'never' })
      }),
      ready: /❯/,
      interrupt: [{ key: 'C-c' }]
    },
    tools: BASH_TOOLS,
    more: [survivesInterruption(BASH_TOOLS), THINKING]
  }
}

/** It unpacks itself into a cache, 300 MB, which all homes of a run may share. */
function copilot(argv: readonly string[], place: Place): Command {
  const program = binaryOf(place, '@github/copilot', 'copilot')
  return {
    argv: [program, '--allow-all-tools', '--no-auto-update', ...argv],
    env: { COPILOT_CACHE_HOME: `${place.installed}/cache` }
  }
}
