import { Type } from '../shared/schema-type.ts'
import { version } from '../shared/version.ts'
import { choice, count, DAY, flag, list, seconds, text } from './setting.ts'

const HEADER_TEXT = '^[\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?$'
const REGION = {
  restart: true,
  pattern: '^(?=.{1,63}$)[a-z]{2,4}(-[a-z0-9]+)+-[1-9][0-9]?$',
  allowed: 'an AWS region such as us-east-1'
} as const

export const UpstreamSettings = {
  pool: Type.Object({
    maxConnections: count(
      'HTTP_MAX_CONNECTIONS',
      { nullWord: 'none', min: 1, max: 65_535, default: 300 },
      'Upstream connections, all workers together: busy and idle. none means no limit.'
    ),
    maxKeepalive: count(
      'HTTP_MAX_KEEPALIVE_CONNECTIONS',
      { nullWord: 'none', min: 0, max: 65_535, default: 150 },
      'How many of these may be idle. none means all.'
    ),
    minIdle: count(
      'HTTP_MIN_IDLE_CONNECTIONS',
      { min: 0, max: 1000, default: 2 },
      'Idle connections that each worker keeps open for half an hour after its last request, so that a request after a pause needs no handshake.'
    ),
    keepaliveExpiryMs: seconds(
      'HTTP_KEEPALIVE_EXPIRY',
      { nullWord: 'none', min: 0, max: DAY, default: 60 },
      'Time after which an idle connection is closed. none means never.'
    ),
    poolTimeoutMs: seconds(
      'HTTP_POOL_TIMEOUT',
      { nullWord: 'none', min: 0, max: DAY, default: null },
      'Longest time a request waits for connections, over all its attempts. none means as long as its client waits.'
    ),
    maxWaiting: count(
      'HTTP_POOL_MAX_WAITING',
      { min: 0, max: 100_000, default: 1000 },
      'Requests that may wait for a connection at once, over all workers. Further ones are refused.'
    ),
    maxRequestsPerMinute: count(
      'UPSTREAM_MAX_REQUESTS_PER_MINUTE',
      { nullWord: 'none', min: 1, max: 100_000, default: null },
      'Upstream requests in any minute, over all workers, including retries and web searches. Further ones wait as they do for a connection. none means no limit.'
    )
  }),
  upstream: Type.Object({
    connectTimeoutMs: seconds(
      'HTTP_CONNECT_TIMEOUT',
      { restart: true, min: 0.1, max: DAY, default: 30 },
      'Longest time to open an upstream connection, including TLS.'
    ),
    firstTokenTimeoutMs: seconds(
      'FIRST_TOKEN_TIMEOUT',
      { min: 0.1, max: DAY, default: 120 },
      "Longest wait for the first event of an answer, which arrives with the upstream's headers."
    ),
    firstTokenMaxRetries: count(
      'FIRST_TOKEN_MAX_RETRIES',
      { min: 1, max: 10, default: 1 },
      'Total attempts when the first event does not arrive. The upstream may charge for each of them.'
    ),
    readTimeoutMs: seconds(
      'STREAMING_READ_TIMEOUT',
      { min: 0.1, max: DAY, default: 300 },
      'Longest time without data in the middle of an upstream answer.'
    ),
    maxAttempts: count(
      'UPSTREAM_MAX_ATTEMPTS',
      { min: 1, max: 10, default: 3 },
      'Total attempts for a call that fails before any of its answer reached the client.'
    ),
    retryBudgetPercent: count(
      'RETRY_BUDGET_PERCENT',
      { restart: true, min: 0, max: 100, default: 20 },
      'Retries per hundred requests, so that retries never worsen an outage, plus ten a minute over all workers.'
    ),
    requestForm: choice(
      'KIRO_REQUEST_FORM',
      { default: 'auto', enum: ['auto', 'path', 'target'] },
      'Request form: `path` or `target`. auto starts with `path` and keeps the form that the upstream accepts.'
    ),
    apiUrl: url('KIRO_API_URL', 'Replaces the upstream host for generation, model list and usage.'),
    managementUrl: url(
      'KIRO_MANAGEMENT_URL',
      'Replaces the upstream host for model list and usage.'
    ),
    authUrl: url('KIRO_AUTH_URL', 'Replaces the host for the token refresh of a desktop sign-in.'),
    oidcUrl: url('KIRO_OIDC_URL', 'Replaces the host for the token refresh of an AWS SSO sign-in.'),
    idpUrl: url(
      'KIRO_IDP_URL',
      'Replaces the token endpoint of a sign-in through an external identity provider, regardless of KIRO_IDP_HOSTS.'
    ),
    userAgent: text(
      'KIRO_USER_AGENT',
      {
        restart: true,
        default: `kiro-gateway/${version}`,
        pattern: HEADER_TEXT,
        allowed: 'printable ASCII characters'
      },
      'User agent of the gateway at the upstream.'
    )
  }),
  names: Type.Object({
    servers: list(
      'DNS_SERVERS',
      {
        items: { pattern: '^[0-9A-Fa-f.:\\[\\]]+$' },
        restart: true,
        allowed:
          'IP addresses separated by commas, each with :port if wanted: 10.0.0.2, [fd00::2]:53'
      },
      'Name servers that replace those of the system (/etc/resolv.conf).'
    )
  }),
  proxy: Type.Object({
    url: proxy(
      'VPN_PROXY_URL',
      undefined,
      'Proxy for every upstream call, including token refresh, and for FETCH_URLS. Overrides HTTPS_PROXY.'
    ),
    httpsUrl: proxy(
      'HTTPS_PROXY',
      'https_proxy',
      'Proxy for https:// hosts if VPN_PROXY_URL is not set.'
    ),
    exceptions: text(
      'NO_PROXY',
      {
        restart: true,
        alias: 'no_proxy',
        allowed:
          'hosts separated by commas: example.com, .example.com for its subdomains, an IP address or range (10.0.0.0/8), each with :port if wanted; * for all'
      },
      'Hosts to call without a proxy.'
    )
  }),
  credentials: Type.Object({
    creds: choice(
      'KIRO_CREDS',
      { restart: true, default: 'auto', enum: ['auto', 'none'] },
      'Source of credentials if none of the settings below is set. auto looks for the sign-in of "kiro-gateway login", then in the usual places of Kiro IDE, kiro-cli and Amazon Q, and logs what it found.'
    ),
    credsFile: text(
      'KIRO_CREDS_FILE',
      { restart: true, kind: 'path' },
      'Credentials file of the Kiro IDE, such as ~/.aws/sso/cache/kiro-auth-token.json.'
    ),
    cliDbFile: text(
      'KIRO_CLI_DB_FILE',
      { restart: true, kind: 'path' },
      'Database of kiro-cli or Amazon Q, such as ~/.local/share/kiro-cli/data.sqlite3.'
    ),
    isDbReadonly: flag(
      'SQLITE_READONLY',
      false,
      'Never writes renewed tokens back to that database. They stay in STATE_DIR, and the program that owns the database must sign in again.',
      { restart: true }
    ),
    refreshToken: text(
      'REFRESH_TOKEN',
      {
        restart: true,
        isSecret: true,
        pattern: HEADER_TEXT,
        allowed: 'printable ASCII characters'
      },
      'Refresh token of a Kiro desktop sign-in.'
    ),
    apiKey: text(
      'KIRO_API_KEY',
      {
        restart: true,
        isSecret: true,
        pattern: '^ksk_[\\x21-\\x7e]+$',
        allowed: 'a Kiro API key, which starts with ksk_'
      },
      'Kiro API key. Overrides the other sources of credentials.'
    ),
    isKeyPassthrough: flag(
      'KIRO_KEY_PASSTHROUGH',
      false,
      'Lets clients send their own Kiro API key (ksk_…) as their key. The request uses it, and it is never stored. PROXY_API_KEY is then optional.',
      { restart: true }
    ),
    newKeysPerMinute: count(
      'KIRO_KEY_NEW_PER_MINUTE',
      { min: 1, max: 100_000, default: 60 },
      'New Kiro API keys of clients to try per minute, over all workers, before the upstream has accepted them. Further ones get 429. Accepted keys are not affected.'
    ),
    profileArn: text(
      'PROFILE_ARN',
      {
        restart: true,
        pattern: '^arn:aws(-[a-z]+)*:codewhisperer:[a-z0-9-]+:[0-9]{12}:profile/[A-Za-z0-9._-]+$',
        allowed: 'arn:aws:codewhisperer:<region>:<12 digits>:profile/<id>'
      },
      'Profile to charge if the credentials do not name one.'
    ),
    region: text(
      'KIRO_REGION',
      { default: 'us-east-1', ...REGION },
      'Region of the sign-in: used if the credentials do not name one.'
    ),
    apiRegion: text('KIRO_API_REGION', REGION, 'Region of the API if it differs.'),
    idpHosts: list(
      'KIRO_IDP_HOSTS',
      {
        items: { pattern: '^\\.?[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)+$' },
        restart: true,
        allowed:
          'host names separated by commas: login.example.com, .example.com for its subdomains'
      },
      'Hosts that may renew a sign-in through an external identity provider, besides its issuer and Microsoft Entra ID.'
    ),
    isLoginWanted: flag(
      'LOGIN_ON_START',
      false,
      'Without credentials, the log shows a sign-in link and code, renewed until one is confirmed. Requests are refused until then.',
      { restart: true }
    ),
    loginStartUrl: text(
      'LOGIN_START_URL',
      {
        restart: true,
        kind: 'url',
        pattern: '^https://[^\\s/?#@]+(/[^\\s?#]*)?$',
        allowed: 'the start URL of an organisation, such as https://d-1234567890.awsapps.com/start'
      },
      'Start URL of the IAM Identity Center for LOGIN_ON_START, in KIRO_REGION. By default AWS Builder ID.'
    ),
    waitTimeoutMs: seconds(
      'CREDENTIAL_WAIT_TIMEOUT',
      { min: 0, max: 600, default: 30 },
      'Longest time a request waits for the sign-in to be renewed.'
    ),
    stateDir: text(
      'STATE_DIR',
      { restart: true, kind: 'path', default: '~/.local/state/kiro-gateway' },
      'Folder for persistent state, such as rotated tokens. On macOS ~/Library/Application Support/kiro-gateway, on Windows %LOCALAPPDATA%\\kiro-gateway.'
    )
  })
}

function url(env: string, description: string) {
  const allowed = 'an http:// or https:// URL without query'
  const pattern = '^https?://[^\\s/?#@]+(/[^\\s?#]*)?$'
  return text(env, { restart: true, kind: 'url', pattern, allowed }, description)
}

function proxy(env: string, alias: string | undefined, description: string) {
  const allowed =
    'http://, https:// or socks5:// and [user:password@]host:port, with special characters of user and password percent-encoded'
  const spelling = alias === undefined ? {} : { alias }
  return text(
    env,
    { restart: true, kind: 'proxy', isSecret: true, allowed, ...spelling },
    description
  )
}
