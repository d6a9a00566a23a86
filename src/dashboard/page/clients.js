/* How each client is pointed at this gateway: a command that sets it up, and what to write by hand. */
import { html } from './lit.js'
import { choice, copyable } from './parts.js'
import { redraw } from './state.js'

/** Address of this gateway, as this browser reaches it. */
export function baseUrl() {
  return new URL('.', location.href).href.replace(/\/$/, '')
}

/** A model that all plans have. */
const MODEL = 'claude-sonnet-5.5'

/** True if only this machine reaches the gateway by the page's address. */
export function isLoopback() {
  return /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname)
}

/**
 * @typedef {{ url: string, key: string, model: string }} Facts
 * @typedef {{ id: string, title: string, setup: string | null, byHand: (facts: Facts) => string }} Client
 */

/** @type {readonly Client[]} */
const CLIENTS = [
  {
    id: 'claude',
    title: 'Claude Code',
    setup: 'claude',
    byHand: ({ url, key }) => `ANTHROPIC_BASE_URL=${url} ANTHROPIC_AUTH_TOKEN=${key} claude`
  },
  {
    id: 'codex',
    title: 'Codex',
    setup: 'codex',
    byHand: ({ url, key, model }) =>
      `# ~/.codex/config.toml, with the key in the environment: export KIRO_GATEWAY_KEY=${key}\nmodel = "${model}"\nmodel_provider = "kiro"\n\n[model_providers.kiro]\nname = "kiro"\nbase_url = "${url}/v1"\nenv_key = "KIRO_GATEWAY_KEY"\nwire_api = "responses"`
  },
  openAi('opencode', 'OpenCode', 'opencode'),
  openAi('qwen', 'Qwen Code', 'qwen'),
  openAi('cline', 'Cline', 'cline'),
  openAi('continue', 'Continue', 'continue'),
  openAi('pi', 'Pi', 'pi'),
  {
    id: 'copilot',
    title: 'Copilot CLI',
    setup: 'copilot',
    byHand: ({ url, key, model }) =>
      `COPILOT_PROVIDER_BASE_URL=${url}/v1 COPILOT_PROVIDER_API_KEY=${key} COPILOT_MODEL=${model} copilot`
  },
  openAi('kilo', 'Kilo Code', 'kilo'),
  openAi('openclaw', 'OpenClaw', 'openclaw'),
  openAi('cursor', 'Cursor and others', null),
  {
    id: 'openai',
    title: 'OpenAI SDK',
    setup: null,
    byHand: ({ url, key, model }) =>
      `import OpenAI from 'openai'\n\nconst client = new OpenAI({ baseURL: '${url}/v1', apiKey: '${key}' })\nconst { choices } = await client.chat.completions.create({\n  model: '${model}',\n  messages: [{ role: 'user', content: 'Hello!' }]\n})\nconsole.log(choices[0].message.content)`
  },
  {
    id: 'anthropic',
    title: 'Anthropic SDK',
    setup: null,
    byHand: ({ url, key, model }) =>
      `import Anthropic from '@anthropic-ai/sdk'\n\nconst client = new Anthropic({ baseURL: '${url}', apiKey: '${key}' })\nconst { content } = await client.messages.create({\n  model: '${model}',\n  max_tokens: 1000,\n  messages: [{ role: 'user', content: 'Hello!' }]\n})\nconsole.log(content[0].text)`
  },
  {
    id: 'curl',
    title: 'curl',
    setup: null,
    byHand: ({ url, key, model }) =>
      `curl -N ${url}/v1/chat/completions -H 'authorization: Bearer ${key}' -H 'content-type: application/json' \\\n  -d '{"model": "${model}", "stream": true, "messages": [{"role": "user", "content": "Hello!"}]}'`
  }
]

/**
 * @param {string} id
 * @param {string} title
 * @param {string | null} setup
 * @returns {Client}
 */
function openAi(id, title, setup) {
  return { id, title, setup, byHand: openAiFields }
}

/** @param {Facts} facts */
function openAiFields({ url, key, model }) {
  return `Provider   OpenAI-compatible\nBase URL   ${url}/v1\nAPI key    ${key}\nModel      ${model}`
}

let chosen = 'claude'

/** @param {string} key */
export function clientSnippets(key) {
  const facts = { url: baseUrl(), key, model: MODEL }
  const client = CLIENTS.find(({ id }) => id === chosen) ?? CLIENTS[0]
  if (client === undefined) return html``
  return html`
    ${choice(
      'client',
      'Client',
      CLIENTS.map(({ id, title }) => /** @type {const} */ ([id, title])),
      chosen,
      (value) => {
        chosen = value
        redraw()
      }
    )}
    ${
      client.setup === null
        ? ''
        : html`<p class="note">This command sets it up; <code>--undo</code> restores it:</p>
        ${copyable(`npx kiro-gateway setup ${client.setup} --url ${facts.url} --key ${key}`, 'the setup command')}
        <p class="note">Or by hand:</p>`
    }
    ${copyable(client.byHand(facts), `the settings of ${client.title}`)}`
}

export function baseUrls() {
  const url = baseUrl()
  return html`<dl class="facts wide-values">
    <div><dt>OpenAI clients</dt><dd>${copyable(`${url}/v1`, 'the base URL of OpenAI clients')}</dd></div>
    <div><dt>Anthropic clients</dt><dd>${copyable(url, 'the base URL of Anthropic clients')}</dd></div>
  </dl>`
}
