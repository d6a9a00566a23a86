import { survivesInterruption } from './cli-trials.ts'
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

const CONFIG = '.openclaw/openclaw.json'

const SHELL = shellTools((command) => `exec with ${JSON.stringify({ command })}`)

export const OPENCLAW: Client = {
  name: 'OpenClaw',
  id: 'openclaw',
  packages: { openclaw: '2026.9.6' },
  ways: [
    apiWay('Chat Completions', 'openai-completions'),
    apiWay('Responses', 'openai-responses'),
    { ...apiWay('Messages', 'anthropic-messages'), movesWords: true },
    setUpWay('openclaw', CONFIG, {
      api: 'Chat Completions',
      ...asking(openclaw, []),
      tools: SHELL
    })
  ]
}

function apiWay(api: Api, openclawApi: string): Way {
  return {
    api,
    files: (place) => ({ [CONFIG]: configOf(openclawApi, place) }),
    ...asking((argv, prompt, place) => openclaw([...modelOf(place), ...argv], prompt, place), []),
    think: (prompt, place) => openclaw([...modelOf(place), '--thinking', 'high'], prompt, place),
    tools: SHELL,
    more: [survivesInterruption(SHELL), THINKING]
  }
}

function modelOf({ model }: Place): readonly string[] {
  return ['--model', `gateway/${model}`]
}

/** A turn of one session, without OpenClaw's own gateway. */
function openclaw(argv: readonly string[], prompt: string, place: Place): Command {
  const session = ['agent', '--local', '--session-id', 'tried']
  return {
    argv: [programOf(place, 'openclaw'), ...session, ...argv, '--message', prompt],
    env: { OPENCLAW_WORKSPACE_DIR: place.project }
  }
}

function configOf(api: string, { url, key, model }: Place): string {
  const baseUrl = api === 'anthropic-messages' ? url : `${url}/v1`
  const compat = { supportsReasoningEffort: true }
  const models = [model, THINKING_MODEL].map((id) => ({ id, name: id, reasoning: true, compat }))
  return JSON.stringify({
    models: { providers: { gateway: { api, baseUrl, apiKey: key, models } } }
  })
}
