import { survivesInterruption } from './cli-trials.ts'
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
import { THINKING } from './upstream-trials.ts'

const SHELL = shellTools((command) => `bash with ${JSON.stringify({ command })}`)

export const PI: Client = {
  name: 'pi',
  id: 'pi',
  packages: { '@earendil-works/pi-coding-agent': '0.87.1' },
  ways: [
    apiWay('Chat Completions', 'openai-completions'),
    apiWay('Responses', 'openai-responses'),
    apiWay('Messages', 'anthropic-messages'),
    setUpWay('pi', '.pi/agent/models.json', {
      api: 'Chat Completions',
      ask: (prompt, place) => plainPi(['-p', prompt], place),
      resume: (prompt, place) => plainPi(['--continue', '-p', prompt], place),
      tools: SHELL
    })
  ]
}

function apiWay(api: Api, piApi: string): Way {
  return {
    api,
    files: (place) => ({ '.pi/agent/models.json': modelsOf(piApi, place) }),
    ask: (prompt, place) => pi(['-p', prompt], place),
    resume: (prompt, place) => pi(['--continue', '-p', prompt], place),
    think: (prompt, place) => pi(['--thinking', 'high', '-p', prompt], place),
    tools: SHELL,
    more: [survivesInterruption(SHELL), THINKING]
  }
}

function pi(argv: readonly string[], place: Place): Command {
  const plain = plainPi(['--provider', 'gateway', '--model', place.model, ...argv], place)
  return { ...plain, env: { ...plain.env, GATEWAY_KEY: place.key } }
}

function plainPi(argv: readonly string[], place: Place): Command {
  return { argv: [programOf(place, 'pi'), ...argv], env: { PI_OFFLINE: '1' } }
}

function modelsOf(api: string, { url, model }: Place): string {
  const baseUrl = api === 'anthropic-messages' ? url : `${url}/v1`
  const models = [{ id: model, reasoning: true }]
  return JSON.stringify({
    providers: { gateway: { api, baseUrl, apiKey: '$GATEWAY_KEY', models } }
  })
}
