import { Resolver } from 'node:dns'
import { isLoopback, toAddressList } from './address-list.ts'
import type { Config } from './settings.ts'

/** Settings that are valid alone and wrong together. */
export interface Contradiction {
  /** Ignored while one of these settings is wrong by itself. */
  readonly about: readonly string[]
  readonly sentence: string
}

export interface CrossChecked {
  readonly config: Config
  readonly problems: readonly Contradiction[]
  readonly warnings: readonly Contradiction[]
}

/** Corrects harmless contradictions with a warning, refuses others. */
export function crossCheck(config: Config): CrossChecked {
  const keepalive = limitKeepalive(config)
  const workers = limitWorkers(keepalive.config)
  return {
    config: workers.config,
    problems: [
      ...openToAnyone(config),
      ...noCredentials(config),
      ...noNameServers(config),
      ...wrongProxies(config),
      ...halfTrusted(config),
      ...halfOidc(config),
      ...nowhereToForward(config),
      ...fleetProblems(config)
    ],
    warnings: [
      ...keepalive.warnings,
      ...workers.warnings,
      ...severalSources(config),
      ...keptContent(config),
      ...shortKeys(config),
      ...unusedSignIn(config)
    ]
  }
}

/** Addresses that no list could hold. */
function wrongProxies({ server }: Config): readonly Contradiction[] {
  return server.trustedProxies.flatMap((one) => {
    if (toAddressList([one]) !== null) return []
    const sentence = `TRUSTED_PROXIES names ${JSON.stringify(one)}, which is neither an address nor a network such as 172.18.0.0/16.`
    return [{ about: ['TRUSTED_PROXIES'], sentence }]
  })
}

/** A header that anyone could send would let anyone in. */
function halfTrusted({ server, observe }: Config): readonly Contradiction[] {
  if (observe.trustedHeader === null) return []
  const all = server.trustedProxies.find((one) => /\/0+$/.test(one))
  if (all !== undefined) {
    const sentence = `TRUSTED_PROXIES has ${all}, which is every address: anyone could name an operator in DASHBOARD_TRUSTED_HEADER. List the addresses of your proxies.`
    return [{ about: ['DASHBOARD_TRUSTED_HEADER', 'TRUSTED_PROXIES'], sentence }]
  }
  const missing = [
    ...(server.trustedProxies.length === 0 ? ['TRUSTED_PROXIES'] : []),
    ...(observe.operators.length === 0 ? ['DASHBOARD_OPERATORS'] : [])
  ]
  if (missing.length === 0) return []
  const sentence = `DASHBOARD_TRUSTED_HEADER needs ${missing.join(' and ')}: the address of the proxy that sends it, and the users who may operate the gateway.`
  return [{ about: ['DASHBOARD_TRUSTED_HEADER', ...missing], sentence }]
}

/** Every person can have an account of a public provider, so users have to be named. */
function halfOidc({ observe }: Config): readonly Contradiction[] {
  const { oidcIssuer, oidcClientId, oidcClientSecret, oidcGroups, operators } = observe
  const isIssuerMissing =
    oidcIssuer === null &&
    (oidcClientId !== null || oidcClientSecret !== null || oidcGroups.length > 0)
  const isNamed = oidcGroups.length > 0 || operators.some((one) => one.includes('@'))
  const missing = [
    ...(isIssuerMissing ? ['DASHBOARD_OIDC_ISSUER'] : []),
    ...(oidcIssuer !== null && oidcClientId === null ? ['DASHBOARD_OIDC_CLIENT_ID'] : []),
    ...(oidcIssuer !== null && !isNamed ? ['DASHBOARD_OPERATORS or DASHBOARD_OIDC_GROUPS'] : [])
  ]
  if (missing.length > 0) {
    const sentence = `Signing in by OpenID Connect needs ${missing.join(' and ')}: the provider, the client that it knows, and the e-mail addresses or groups that may operate the gateway.`
    return [{ about: OIDC_SETTINGS, sentence }]
  }
  const url = oidcIssuer === null ? null : URL.parse(oidcIssuer)
  const isSafe = url === null || url.protocol === 'https:' || isLoopback(unbracketed(url.hostname))
  if (isSafe && (oidcIssuer === null || url !== null)) return []
  const sentence =
    'DASHBOARD_OIDC_ISSUER has to be an https:// URL: over http:// anybody on the way could sign in. Only a provider on this machine may use http://.'
  return [{ about: ['DASHBOARD_OIDC_ISSUER'], sentence }]
}

/** A sign-in that no user has to go through, or operators who cannot sign in. */
function unusedSignIn({ server, credentials, observe }: Config): readonly Contradiction[] {
  const ways = [
    ...(observe.oidcIssuer === null ? [] : ['DASHBOARD_OIDC_ISSUER']),
    ...(observe.trustedHeader === null ? [] : ['DASHBOARD_TRUSTED_HEADER'])
  ]
  if (observe.operators.length > 0 && ways.length === 0) {
    const sentence =
      'DASHBOARD_OPERATORS has no effect without DASHBOARD_OIDC_ISSUER or DASHBOARD_TRUSTED_HEADER, by which they would sign in.'
    return [{ about: ['DASHBOARD_OPERATORS'], sentence }]
  }
  if (ways.length === 0 || server.apiKeys.length > 0 || credentials.isKeyPassthrough) return []
  const sentence = `${ways.join(' and ')} protects nothing while the gateway has no keys: without PROXY_API_KEY and named keys, everyone on this machine operates the panel without signing in. Set PROXY_API_KEY.`
  return [{ about: [...ways, 'PROXY_API_KEY'], sentence }]
}

function nowhereToForward({ clients, traces }: Config): readonly Contradiction[] {
  if (clients.telemetry !== 'forward' || traces.endpoint !== null) return []
  const about = ['CLIENT_TELEMETRY', 'OTEL_EXPORTER_OTLP_ENDPOINT']
  const sentence =
    'CLIENT_TELEMETRY=forward needs OTEL_EXPORTER_OTLP_ENDPOINT, the collector that gets what clients send.'
  return [{ about, sentence }]
}

const OIDC_SETTINGS = [
  'DASHBOARD_OIDC_ISSUER',
  'DASHBOARD_OIDC_CLIENT_ID',
  'DASHBOARD_OIDC_CLIENT_SECRET',
  'DASHBOARD_OIDC_GROUPS',
  'DASHBOARD_OPERATORS'
]

function unbracketed(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1')
}

type Corrected = Pick<CrossChecked, 'config' | 'warnings'>

function limitKeepalive(config: Config): Corrected {
  const { maxConnections, maxKeepalive } = config.pool
  if (maxConnections === null) return { config, warnings: [] }
  const corrected = { ...config, pool: { ...config.pool, maxKeepalive: maxConnections } }
  if (maxKeepalive === null) return { config: corrected, warnings: [] } // none: as many as connections
  if (maxKeepalive <= maxConnections) return { config, warnings: [] }
  const sentence = `HTTP_MAX_KEEPALIVE_CONNECTIONS is ${maxKeepalive}, more than HTTP_MAX_CONNECTIONS. Using ${maxConnections}.`
  const about = ['HTTP_MAX_KEEPALIVE_CONNECTIONS', 'HTTP_MAX_CONNECTIONS']
  return { config: corrected, warnings: [{ about, sentence }] }
}

function limitWorkers(config: Config): Corrected {
  const { maxConnections } = config.pool
  const { workers } = config.cluster
  if (workers === null || maxConnections === null || workers <= maxConnections) {
    return { config, warnings: [] }
  }
  const sentence = `WORKERS is ${workers}, more than HTTP_MAX_CONNECTIONS. Starting ${maxConnections} workers, one per connection.`
  const corrected = { ...config, cluster: { ...config.cluster, workers: maxConnections } }
  return { config: corrected, warnings: [{ about: ['WORKERS', 'HTTP_MAX_CONNECTIONS'], sentence }] }
}

function openToAnyone(config: Config): readonly Contradiction[] {
  const { host, apiKeys } = config.server
  if (apiKeys.length > 0 || isLoopback(host)) return []
  if (config.credentials.isKeyPassthrough) return [] // who has no Kiro key is not let in
  const sentence = `SERVER_HOST is "${host}", so anyone on the network could use your subscription. Set PROXY_API_KEY.`
  return [{ about: ['SERVER_HOST', 'PROXY_API_KEY'], sentence }]
}

/** With KIRO_CREDS=auto, missing credentials show only when they are looked for. */
function noCredentials(config: Config): readonly Contradiction[] {
  const { creds, isKeyPassthrough, isLoginWanted } = config.credentials
  if (!config.isProduction || creds === 'auto' || isKeyPassthrough || isLoginWanted) return []
  if (sourcesOf(config).length > 0) return []
  const about = [
    'KIRO_CREDS',
    'KIRO_API_KEY',
    'KIRO_CREDS_FILE',
    'KIRO_CLI_DB_FILE',
    'REFRESH_TOKEN'
  ]
  return [{ about, sentence: NO_CREDENTIALS }]
}

export const NO_CREDENTIALS =
  'There are no credentials. Sign in with "kiro-gateway login", set LOGIN_ON_START=true to sign in through the log, or set KIRO_API_KEY, KIRO_CREDS_FILE, KIRO_CLI_DB_FILE or REFRESH_TOKEN. (The simulator does not start with NODE_ENV=production.)'

/** Uses the resolver's own check, which knows all forms of addresses and ports. */
function noNameServers({ names }: Config): readonly Contradiction[] {
  const resolver = new Resolver()
  const wrong = names.servers.find((server) => {
    try {
      resolver.setServers([server])
      return false
    } catch {
      return true
    }
  })
  if (wrong === undefined) return []
  const sentence = `DNS_SERVERS has "${wrong}", which is not an IP address with an optional port, such as 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:53.`
  return [{ about: ['DNS_SERVERS'], sentence }]
}

function severalSources(config: Config): readonly Contradiction[] {
  const [winner, ...others] = sourcesOf(config)
  if (winner === undefined || others.length === 0) return []
  const verb = others.length === 1 ? 'is' : 'are'
  const sentence = `Several sources of credentials are set: ${winner} is used, ${others.join(' and ')} ${verb} ignored.`
  return [{ about: [winner, ...others], sentence }]
}

function keptContent({ observe }: Config): readonly Contradiction[] {
  const { keepsContent, debugMode, debugDir } = observe
  if (!keepsContent) return []
  const sentence =
    debugMode === 'off'
      ? 'DEBUG_CONTENT has no effect while DEBUG_MODE is off.'
      : `DEBUG_CONTENT is on: prompts and answers are kept in plain text in ${debugDir}/captures. Turn it off and delete that folder when you are done.`
  return [{ about: ['DEBUG_CONTENT', 'DEBUG_MODE'], sentence }]
}

/** 16 random letters and digits cannot be guessed; words can. */
const MIN_KEY_CHARS = 16

/** Names keys by position: keys must not be logged. */
function shortKeys({ server: { apiKeys, metricsKey } }: Config): readonly Contradiction[] {
  const short = shortApiKeys(apiKeys)
  if (metricsKey === null || metricsKey.length >= MIN_KEY_CHARS) return short
  const sentence = `METRICS_KEY has fewer than ${MIN_KEY_CHARS} characters and could be guessed. "openssl rand -hex 24" generates a strong one.`
  return [...short, { about: ['METRICS_KEY'], sentence }]
}

function shortApiKeys(apiKeys: readonly string[]): readonly Contradiction[] {
  const places = apiKeys.flatMap((key, index) => (key.length < MIN_KEY_CHARS ? [index + 1] : []))
  if (places.length === 0) return []
  const which = apiKeys.length === 1 ? 'The key' : `Of the keys, number ${places.join(', ')}`
  const sentence = `${which} in PROXY_API_KEY has fewer than ${MIN_KEY_CHARS} characters and could be guessed. "openssl rand -hex 24" generates a strong one.`
  return [{ about: ['PROXY_API_KEY'], sentence }]
}

export function sourcesOf(config: Config): readonly string[] {
  const { apiKey, credsFile, cliDbFile, refreshToken } = config.credentials
  return [
    apiKey === null ? [] : 'KIRO_API_KEY',
    credsFile === null ? [] : 'KIRO_CREDS_FILE',
    cliDbFile === null ? [] : 'KIRO_CLI_DB_FILE',
    refreshToken === null ? [] : 'REFRESH_TOKEN'
  ].flat()
}

function fleetProblems({ fleet, pool }: Config): readonly Contradiction[] {
  if (fleet.url === null) return []
  const problems: Contradiction[] = []
  const say = (about: readonly string[], sentence: string): void => {
    problems.push({ about: ['FLEET_URL', ...about], sentence })
  }
  const { replicas, secrets, secretFile, identity, podUid } = fleet
  const { maxConnections, maxRequestsPerMinute: pace } = pool
  if (replicas === null) {
    say(['FLEET_REPLICAS'], 'FLEET_URL needs FLEET_REPLICAS, the number of gateways in the fleet.')
  }
  if (maxConnections === null) {
    say(
      ['HTTP_MAX_CONNECTIONS'],
      'FLEET_URL needs a number in HTTP_MAX_CONNECTIONS, which the gateways share.'
    )
  } else if (replicas !== null && maxConnections < replicas) {
    say(
      ['HTTP_MAX_CONNECTIONS', 'FLEET_REPLICAS'],
      `HTTP_MAX_CONNECTIONS is ${maxConnections}, fewer than the ${replicas} gateways of FLEET_REPLICAS that share them.`
    )
  }
  if (pace !== null && replicas !== null && pace < replicas) {
    say(
      ['UPSTREAM_MAX_REQUESTS_PER_MINUTE', 'FLEET_REPLICAS'],
      `UPSTREAM_MAX_REQUESTS_PER_MINUTE is ${pace}, fewer than the ${replicas} gateways of FLEET_REPLICAS that share them.`
    )
  }
  if (secrets.length === 0 && secretFile === null) {
    say(
      ['FLEET_SECRET', 'FLEET_SECRET_FILE'],
      'FLEET_URL needs FLEET_SECRET or FLEET_SECRET_FILE, the same for all gateways. "openssl rand -hex 32" generates one.'
    )
  }
  if (secrets.length > 0 && secretFile !== null) {
    say(
      ['FLEET_SECRET', 'FLEET_SECRET_FILE'],
      'FLEET_SECRET and FLEET_SECRET_FILE are both set. Remove one of them.'
    )
  }
  if (identity === 'statefulset' && podUid === null) {
    say(
      ['FLEET_IDENTITY', 'FLEET_POD_UID'],
      'FLEET_IDENTITY=statefulset needs FLEET_POD_UID, which the downward API gives (metadata.uid).'
    )
  }
  return problems
}
