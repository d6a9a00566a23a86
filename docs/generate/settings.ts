import { describeAllowed, listSettings, writeSetting } from '../../src/config/setting-text.ts'
import type { Settings } from '../../src/config/settings.ts'
import { toTable } from './text.ts'

/** What the groups of settings are called. */
const TITLES: Readonly<Record<string, string>> = {
  server: 'Server',
  cluster: 'Processes',
  pool: 'Connections to the upstream',
  upstream: 'Upstream',
  names: 'Name servers',
  proxy: 'Proxy to the upstream',
  credentials: 'Credentials (one source is enough)',
  models: 'Models',
  reasoning: 'Reasoning of models that have none of their own',
  payload: 'Conversations that are too long',
  tools: 'Tools',
  fetch: 'Images and documents by URL',
  responses: 'Kept answers',
  webSocket: 'WebSockets of the Responses API',
  transform: 'Conversion of large requests',
  memory: 'Memory',
  usage: 'Usage',
  devices: 'Sign-in of devices',
  plan: 'Plan',
  alerts: 'Alerts',
  clients: 'Claude Code',
  fleet: 'Fleet',
  traces: 'Traces',
  observe: 'Log'
} satisfies Record<keyof typeof Settings.properties, string>

/** Settings that `.env.example` sets, to their defaults. The others stand there as comments. */
const SET = [
  'HTTP_MAX_CONNECTIONS',
  'HTTP_MAX_KEEPALIVE_CONNECTIONS',
  'HTTP_KEEPALIVE_EXPIRY',
  'HTTP_POOL_TIMEOUT'
]

const GROUPS = Map.groupBy(listSettings(), ({ group }) => group)

/** `.env.example`: the lines before the first group stay, all others are made. */
export function envExample(before: string): string {
  const [head = ''] = before.split('# ---- ')
  const groups = Array.from(GROUPS, ([group, listed]) => {
    const blocks = listed.map(({ setting }) => {
      const { env, description, default: value } = setting
      const line = `${SET.includes(env) ? '' : '#'}${env}=${writeSetting(setting, value)}`
      return `# ${description}\n# Allowed: ${describeAllowed(setting)}.\n${line}\n`
    })
    return `# ---- ${TITLES[group]}\n\n${blocks.join('\n')}`
  })
  return head + groups.join('\n')
}

/** The table of docs/settings.md. */
export function settingsTable(): string {
  const rows = listSettings().map(({ setting }) => {
    const value = writeSetting(setting, setting.default)
    return [`\`${setting.env}\``, value === '' ? 'not set' : `\`${value}\``, setting.description]
  })
  return toTable(['setting', 'default', 'meaning'], rows)
}

/** The list of docs/operations.md: settings that need a restart, by group. */
export function reloadList(): string {
  const lines = Array.from(GROUPS, ([group, listed]) => {
    const fixed = listed.filter(({ setting }) => setting.restart)
    const names = fixed.map(({ setting }) => `\`${setting.env}\``)
    return names.length === 0 ? '' : `- ${TITLES[group]}: ${names.join(', ')}\n`
  })
  return lines.join('')
}
