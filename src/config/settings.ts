import { type Static, Type } from '../shared/schema-type.ts'
import { version } from '../shared/version.ts'
import { minMemoryBytes } from './memory-plan.ts'
import {
  bytes,
  count,
  countOr,
  optionalBytes,
  optionalText,
  seconds,
  secondsOrNone,
  setting,
  text
} from './setting.ts'

/** Timers beyond a day serve nobody here, and Node's own end at 24.8 days. */
const day = 86_400
const mebibyte = 1024 * 1024
const headerText = '^[\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?$'
const region = {
  pattern: '^[a-z]{2}(-[a-z]+)+-[0-9]+$',
  allowed: 'an AWS region such as us-east-1'
}

/**
 * Every setting: where it is read from, its bounds, default and meaning. docs/settings.md and `.env.example` are checked
 * against it. `null` means no limit, automatic or left out, as each sentence says.
 */
export const Settings = Type.Object({
  server: Type.Object({
    host: text(
      'SERVER_HOST',
      {
        default: '127.0.0.1',
        option: 'host',
        pattern: '^[A-Za-z0-9:._%-]+$',
        allowed: 'an IP address or a host name'
      },
      'Address to listen on; 0.0.0.0 means every interface and needs PROXY_API_KEY.'
    ),
    port: count(
      'SERVER_PORT',
      { min: 0, max: 65_535, default: 8000, option: 'port' },
      'Port to listen on; 0 takes any free one.'
    ),
    apiKeys: setting<string[]>(
      {
        env: 'PROXY_API_KEY',
        kind: 'list',
        default: [],
        isSecret: true,
        allowed: 'keys separated by commas, each of printable ASCII characters without spaces',
        description:
          'Keys that clients must send, separated by commas; without any, everyone may call. Shorter ones than 16 characters are warned of.'
      },
      { type: 'array', items: { type: 'string', pattern: '^[\\x21-\\x7e]+$' } }
    ),
    maxBodyBytes: bytes(
      'MAX_BODY_BYTES',
      { min: 1024, max: 1024 * mebibyte, default: 32 * mebibyte },
      'Largest request body that is read, as far as there is memory for it: 512M allow 11 MB, 2G the whole 32 MB.'
    ),
    maxAnswerBytes: bytes(
      'MAX_ANSWER_BYTES',
      { min: 65_536, max: 1024 * mebibyte, default: 16 * mebibyte },
      'Longest answer, reasoning and tool calls included. A stream ends there as an incomplete answer, one that is sent in one piece is an error, as it is where there is no memory for it: 512M hold 11 MB at once.'
    ),
    bodyTimeoutMs: seconds(
      'BODY_TIMEOUT',
      { min: 0.1, max: day, default: 60 },
      'Longest time a client may take to send its request body, and longest wait for memory to read it into.'
    ),
    maxConnections: countOr('auto', 'MAX_CLIENT_CONNECTIONS', {
      min: 1,
      max: 1_000_000,
      default: null,
      description:
        'Connections that clients may hold open, over all workers; auto takes as many as there are memory and open files for: about 3000 in 512M.'
    }),
    clientStallTimeoutMs: seconds(
      'CLIENT_STALL_TIMEOUT',
      { min: 0.1, max: day, default: 60 },
      'Longest time a client may leave an answer unread before its connection is reset.'
    ),
    heartbeatMs: seconds(
      'HEARTBEAT_INTERVAL',
      { min: 0.01, max: day, default: 10 },
      'Silence on a healthy stream after which the client is sent a heartbeat.'
    )
  }),
  cluster: Type.Object({
    workers: countOr('auto', 'WORKERS', {
      min: 1,
      max: 64,
      default: null,
      option: 'workers',
      description: 'Worker processes; auto takes one for each CPU of the container, at most 2.'
    }),
    drainTimeoutMs: seconds(
      'DRAIN_TIMEOUT',
      { min: 0, max: day, default: 30 },
      'Longest time running streams get to finish at shutdown.'
    ),
    stallTimeoutMs: secondsOrNone(
      'WORKER_STALL_TIMEOUT',
      { min: 2, max: day, default: 10 },
      'Time without a sign of life after which a worker is killed and replaced; none means never.'
    )
  }),
  pool: Type.Object({
    maxConnections: countOr('none', 'HTTP_MAX_CONNECTIONS', {
      min: 1,
      max: 65_535,
      default: 300,
      description:
        'Connections to the upstream that all workers together may hold, busy and idle; none means no limit.'
    }),
    maxKeepalive: countOr('none', 'HTTP_MAX_KEEPALIVE_CONNECTIONS', {
      min: 0,
      max: 65_535,
      default: 150,
      description: 'How many of these may sit idle; none means all of them.'
    }),
    keepaliveExpiryMs: secondsOrNone(
      'HTTP_KEEPALIVE_EXPIRY',
      { min: 0, max: day, default: 60 },
      'Time after which an idle connection is closed; none means never.'
    ),
    poolTimeoutMs: secondsOrNone(
      'HTTP_POOL_TIMEOUT',
      { min: 0, max: day, default: null },
      'Longest wait of a request for connections, from its arrival and over all its attempts together; none means as long as its client waits.'
    ),
    maxWaiting: count(
      'HTTP_POOL_MAX_WAITING',
      { min: 0, max: 100_000, default: 1000 },
      'Requests that may wait for a connection at once, over all workers; more are refused.'
    )
  }),
  upstream: Type.Object({
    connectTimeoutMs: seconds(
      'HTTP_CONNECT_TIMEOUT',
      { min: 0.1, max: day, default: 30 },
      'Longest time to open a connection to the upstream, TLS included.'
    ),
    firstTokenTimeoutMs: seconds(
      'FIRST_TOKEN_TIMEOUT',
      { min: 0.1, max: day, default: 60 },
      'Longest wait for the first event of an answer.'
    ),
    firstTokenMaxRetries: count(
      'FIRST_TOKEN_MAX_RETRIES',
      { min: 1, max: 10, default: 3 },
      'Attempts in all when the first event does not come.'
    ),
    readTimeoutMs: seconds(
      'STREAMING_READ_TIMEOUT',
      { min: 0.1, max: day, default: 300 },
      'Longest silence of the upstream in the middle of an answer.'
    ),
    maxAttempts: count(
      'UPSTREAM_MAX_ATTEMPTS',
      { min: 1, max: 10, default: 3 },
      'Attempts in all for a call that failed before a byte of its answer reached the client.'
    ),
    retryBudgetPercent: count(
      'RETRY_BUDGET_PERCENT',
      { min: 0, max: 100, default: 20 },
      'Retries allowed for every hundred requests, so that retries never make an outage worse.'
    ),
    apiUrl: url('KIRO_API_URL', 'Replaces the upstream host for generation, model list and usage.'),
    managementUrl: url(
      'KIRO_MANAGEMENT_URL',
      'Replaces the upstream host for model list and usage.'
    ),
    authUrl: url('KIRO_AUTH_URL', 'Replaces the host for the token refresh of a desktop sign-in.'),
    oidcUrl: url('KIRO_OIDC_URL', 'Replaces the host for the token refresh of an AWS SSO sign-in.'),
    userAgent: text(
      'KIRO_USER_AGENT',
      {
        default: `kiro-gateway/${version}`,
        pattern: headerText,
        allowed: 'printable ASCII characters'
      },
      'How the gateway names itself to the upstream.'
    )
  }),
  names: Type.Object({
    servers: setting<string[]>(
      {
        env: 'DNS_SERVERS',
        kind: 'list',
        default: [],
        allowed:
          'IP addresses separated by commas, each with :port if wanted: 10.0.0.2, [fd00::2]:53',
        description: 'Name servers to ask instead of those of the system (/etc/resolv.conf).'
      },
      { type: 'array', items: { type: 'string', pattern: '^[0-9A-Fa-f.:\\[\\]]+$' } }
    )
  }),
  proxy: Type.Object({
    url: proxy(
      'VPN_PROXY_URL',
      undefined,
      'Proxy for every call to the upstream, token refresh included, and for what FETCH_URLS fetches; wins over HTTPS_PROXY.'
    ),
    httpsUrl: proxy(
      'HTTPS_PROXY',
      'https_proxy',
      'Proxy for calls to https:// hosts, where VPN_PROXY_URL is not set.'
    ),
    exceptions: optionalText(
      'NO_PROXY',
      {
        alias: 'no_proxy',
        allowed:
          'hosts separated by commas: example.com, .example.com for its subdomains, an IP address or range (10.0.0.0/8), each with :port if wanted; * for all'
      },
      'Hosts that are called without a proxy.'
    )
  }),
  credentials: Type.Object({
    credsFile: optionalText(
      'KIRO_CREDS_FILE',
      { kind: 'path' },
      'Credentials file of the Kiro IDE, such as ~/.aws/sso/cache/kiro-auth-token.json.'
    ),
    refreshToken: optionalText(
      'REFRESH_TOKEN',
      { isSecret: true, pattern: headerText, allowed: 'printable ASCII characters' },
      'Refresh token of a Kiro desktop sign-in.'
    ),
    apiKey: optionalText(
      'KIRO_API_KEY',
      {
        isSecret: true,
        pattern: '^ksk_[\\x21-\\x7e]+$',
        allowed: 'a Kiro API key, which starts with ksk_'
      },
      'Kiro API key; wins over the other sources of credentials.'
    ),
    profileArn: optionalText(
      'PROFILE_ARN',
      {
        pattern: '^arn:aws:codewhisperer:[a-z0-9-]+:[0-9]{12}:profile/[A-Za-z0-9._-]+$',
        allowed: 'arn:aws:codewhisperer:<region>:<12 digits>:profile/<id>'
      },
      'Profile that pays, where the credentials do not name it.'
    ),
    region: text(
      'KIRO_REGION',
      { default: 'us-east-1', ...region },
      'Region of the sign-in, where the credentials do not name it.'
    ),
    apiRegion: optionalText('KIRO_API_REGION', region, 'Region of the API, where it is another.'),
    stateDir: text(
      'STATE_DIR',
      { kind: 'path', default: 'state' },
      'Folder for what the gateway must remember, such as rotated tokens.'
    )
  }),
  models: Type.Object({
    aliases: setting<Record<string, string>>(
      {
        env: 'MODEL_ALIASES',
        kind: 'pairs',
        default: {},
        allowed: 'name=model pairs separated by commas, each name once',
        description: 'Further model names and what they stand for, as in my-opus=claude-opus-4.6.'
      },
      { type: 'object', additionalProperties: { type: 'string', minLength: 1 } }
    )
  }),
  reasoning: Type.Object({
    isEnabled: setting<boolean>(
      {
        env: 'FAKE_REASONING',
        kind: 'flag',
        default: true,
        description: 'Asks models without native reasoning to think in tags and tells it apart.'
      },
      { type: 'boolean' }
    ),
    maxTokens: count(
      'FAKE_REASONING_MAX_TOKENS',
      { min: 1, max: 1_000_000, default: 4000 },
      'Thinking budget where the request does not name one.'
    ),
    budgetCap: count(
      'FAKE_REASONING_BUDGET_CAP',
      { min: 1, max: 1_000_000, default: 10_000 },
      'Largest thinking budget that a request may ask for.'
    )
  }),
  payload: Type.Object({
    isTrimmed: setting<boolean>(
      {
        env: 'AUTO_TRIM_PAYLOAD',
        kind: 'flag',
        default: false,
        description:
          'Leaves out the oldest turns of a conversation that the upstream refuses as too long, and asks once more; otherwise the client is told, so that it can compact.'
      },
      { type: 'boolean' }
    )
  }),
  tools: Type.Object({
    descriptionMaxLength: count(
      'TOOL_DESCRIPTION_MAX_LENGTH',
      { min: 1, max: 1_000_000, default: 10_000 },
      'Characters of a tool description; what is longer moves into the system prompt.'
    ),
    maxCount: count(
      'TOOL_MAX_COUNT',
      { min: 1, max: 10_000, default: 120 },
      'Tools offered to the model; refusals of more are reported. Those that were called come first, the rest is named in the system prompt.'
    ),
    webSearch: setting<boolean>(
      {
        env: 'WEB_SEARCH',
        kind: 'flag',
        default: true,
        description:
          "Makes the web searches that a model asks for where a client offers the vendor's tool for it; `false` leaves that tool out."
      },
      { type: 'boolean' }
    )
  }),
  fetch: Type.Object({
    isEnabled: setting<boolean>(
      {
        env: 'FETCH_URLS',
        kind: 'flag',
        default: true,
        description:
          'Fetches images and documents that requests name by http(s) URL, from the public internet only.'
      },
      { type: 'boolean' }
    ),
    maxBytes: bytes(
      'FETCH_MAX_BYTES',
      { min: 1024, max: 256 * mebibyte, default: 10 * mebibyte },
      'Largest image or document that is fetched.'
    ),
    timeoutMs: seconds(
      'FETCH_TIMEOUT',
      { min: 1, max: 120, default: 15 },
      'Longest time that one of them may take, and may wait for its turn.'
    ),
    maxConcurrent: count(
      'FETCH_MAX_CONCURRENT',
      { min: 1, max: 1000, default: 16 },
      'Images and documents that a worker fetches at once; half of it for one client key, the rest waits.'
    )
  }),
  responses: Type.Object({
    storeMaxBytes: bytes(
      'RESPONSE_STORE_MAX_BYTES',
      { min: 0, max: 1024 * 1024 * mebibyte, default: 64 * mebibyte },
      'Most room on disk, in STATE_DIR, for answers that clients of the Responses API may refer to by id; 0 keeps none.'
    ),
    storeMaxAgeMs: seconds(
      'RESPONSE_STORE_MAX_AGE',
      { min: 1, max: 30 * day, default: 7 * day },
      'How long such answers are kept.'
    )
  }),
  transform: Type.Object({
    threads: count(
      'TRANSFORM_THREADS',
      { min: 1, max: 16, default: 1 },
      'Threads of each worker for converting large requests.'
    ),
    inlineMaxBytes: bytes(
      'TRANSFORM_INLINE_MAX_BYTES',
      { min: 0, max: 1024 * mebibyte, default: 131_072 },
      'Largest body that is converted without a thread.'
    ),
    maxQueue: count(
      'TRANSFORM_MAX_QUEUE',
      { min: 1, max: 10_000, default: 32 },
      'Large requests of a worker that may wait for a thread; more are refused.'
    ),
    timeoutMs: seconds(
      'TRANSFORM_TIMEOUT',
      { min: 0.1, max: 600, default: 5 },
      'Longest conversion of one request; one that takes longer is refused.'
    )
  }),
  memory: Type.Object({
    limitBytes: optionalBytes(
      'MEMORY_LIMIT',
      { min: minMemoryBytes, max: 1024 * 1024 * mebibyte },
      'Memory to plan for, as in 512M; left out, the limit of the container, or 512M where it has none.'
    )
  }),
  observe: Type.Object({
    level: setting<LogLevel>(
      {
        env: 'LOG_LEVEL',
        kind: 'choice',
        default: 'info',
        enum: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
        description: 'Least severe level that is logged.'
      },
      { type: 'string' }
    ),
    debugMode: setting<DebugMode>(
      {
        env: 'DEBUG_MODE',
        kind: 'choice',
        default: 'off',
        enum: ['off', 'errors', 'all'],
        description:
          'Which requests leave a file in DEBUG_DIR: how they were built and what became of them, but none of their text.'
      },
      { type: 'string' }
    ),
    debugDir: text(
      'DEBUG_DIR',
      { kind: 'path', default: 'debug_logs' },
      'Folder for these files; the newest 200 are kept.'
    )
  })
})

/** Of which requests debug files are kept. */
export type DebugMode = 'off' | 'errors' | 'all'

/** Names of pino's levels. */
export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'

type DeepReadonly<T> = T extends object ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> } : T

/** The settings as the program sees them: checked, defaults filled in, deeply frozen, plain JSON. */
export type Config = DeepReadonly<Static<typeof Settings>> & {
  /** `NODE_ENV=production`: missing credentials are an error instead of a reason to simulate. */
  readonly isProduction: boolean
}

function url(env: string, description: string) {
  const allowed = 'an http:// or https:// URL without query'
  const pattern = '^https?://[^\\s/?#@]+(/[^\\s?#]*)?$'
  return optionalText(env, { kind: 'url', pattern, allowed }, description)
}

function proxy(env: string, alias: string | undefined, description: string) {
  const allowed =
    'http://, https:// or socks5:// and [user:password@]host:port, with special characters of user and password percent-encoded'
  const spelling = alias === undefined ? {} : { alias }
  return optionalText(env, { kind: 'proxy', isSecret: true, allowed, ...spelling }, description)
}
