import { crossCheck } from '../config/cross-checks.ts'
import { configInvalid } from '../config/load.ts'
import type { Config } from '../config/settings.ts'

/** What a reload would change but can't: these are fixed when processes start. */
const FIXED = [
  ['SERVER_HOST', (config: Config) => config.server.host],
  ['SERVER_PORT', (config: Config) => config.server.port],
  ['MAX_CLIENT_CONNECTIONS', (config: Config) => config.server.maxConnections],
  ['WORKERS', (config: Config) => config.cluster.workers],
  ['MEMORY_LIMIT', (config: Config) => config.memory.limitBytes],
  ['TRANSFORM_THREADS', (config: Config) => config.transform.threads],
  ['TRANSFORM_INLINE_MAX_BYTES', (config: Config) => config.transform.inlineMaxBytes],
  ['TRANSFORM_TIMEOUT', (config: Config) => config.transform.timeoutMs],
  ['TRANSFORM_MAX_QUEUE', (config: Config) => config.transform.maxQueue],
  ['HTTP_CONNECT_TIMEOUT', (config: Config) => config.upstream.connectTimeoutMs],
  ['RETRY_BUDGET_PERCENT', (config: Config) => config.upstream.retryBudgetPercent],
  ['KIRO_USER_AGENT', (config: Config) => config.upstream.userAgent],
  ['KIRO_CREDS_FILE, KIRO_API_KEY or another credential', (config: Config) => config.credentials],
  ['KIRO_API_URL or another host', ({ upstream }: Config) => hostsOf(upstream)],
  ['DEBUG_DIR', (config: Config) => config.observe.debugDir],
  ['DNS_SERVERS', (config: Config) => config.names],
  ['VPN_PROXY_URL, HTTPS_PROXY or NO_PROXY', (config: Config) => config.proxy]
] as const satisfies readonly (readonly [string, (config: Config) => unknown])[]

/** A new config on top of the running one. */
export interface Reload {
  readonly config: Config
  /** Names of settings that differ and take effect with the next start only. */
  readonly needRestart: readonly string[]
}

/**
 * Takes from `next` what can change while the gateway runs, and names what can't.
 *
 * @throws {GatewayError} GW_CONFIG_INVALID when what stays and what is new are wrong together, such as a public
 *   address and no client key.
 */
export function reload(running: Config, next: Config): Reload {
  const { server, cluster, upstream, memory, transform, credentials, isProduction } = running
  const config = {
    ...next,
    server: { ...next.server, ...addressOf(server) },
    cluster: { ...next.cluster, workers: cluster.workers },
    upstream: { ...next.upstream, ...fixedOf(upstream) },
    memory,
    transform,
    credentials,
    observe: { ...next.observe, debugDir: running.observe.debugDir },
    names: running.names,
    proxy: running.proxy,
    isProduction
  }
  const problems = crossCheck(config).problems.map(({ sentence }) => sentence)
  if (problems.length > 0) throw configInvalid(problems)
  const differs = ([, valueOf]: (typeof FIXED)[number]): boolean =>
    JSON.stringify(valueOf(running)) !== JSON.stringify(valueOf(next))
  return { config, needRestart: FIXED.filter(differs).map(([name]) => name) }
}

/** Where clients are listened to, and how many. */
function addressOf({ host, port, maxConnections }: Config['server']) {
  return { host, port, maxConnections }
}

function fixedOf(upstream: Config['upstream']) {
  const { connectTimeoutMs, retryBudgetPercent, userAgent } = upstream
  return { ...hostsOf(upstream), connectTimeoutMs, retryBudgetPercent, userAgent }
}

function hostsOf({ apiUrl, managementUrl, authUrl, oidcUrl }: Config['upstream']) {
  return { apiUrl, managementUrl, authUrl, oidcUrl }
}
