import { type Static, Type } from '../shared/schema-type.ts'
import { FleetSettings } from './fleet-settings.ts'
import type { ManagedSettings } from './managed-settings.ts'
import { MIN_MEMORY_BYTES } from './memory-plan.ts'
import { bytes, choice, count, DAY, flag, list, pairs, seconds, text } from './setting.ts'
import { TraceSettings } from './trace-settings.ts'
import { UpstreamSettings } from './upstream-settings.ts'

const MEBIBYTE = 1024 * 1024

/** Source of docs/settings.md and `.env.example`. `restart`: a running gateway keeps the old value. */
export const Settings = Type.Object({
  server: Type.Object({
    host: text(
      'SERVER_HOST',
      {
        restart: true,
        default: '127.0.0.1',
        option: 'host',
        pattern: '^[A-Za-z0-9:._%-]+$',
        allowed: 'an IP address or a host name'
      },
      'Address to listen on. 0.0.0.0 means every interface and needs PROXY_API_KEY.'
    ),
    port: count(
      'SERVER_PORT',
      { restart: true, min: 0, max: 65_535, default: 8000, option: 'port' },
      'Port to listen on. 0 chooses any free port.'
    ),
    apiKeys: list(
      'PROXY_API_KEY',
      {
        items: { pattern: '^[\\x21-\\x7e]+$' },
        isSecret: true,
        allowed: 'keys separated by commas, each of printable ASCII characters without spaces'
      },
      'Operator keys, separated by commas. Without any key, everyone may call. Keys of fewer than 16 characters cause a warning.'
    ),
    metricsKey: text(
      'METRICS_KEY',
      {
        isSecret: true,
        pattern: '^[\\x21-\\x7e]+$',
        allowed: 'printable ASCII characters without spaces'
      },
      'Key for /metrics only, for the metrics collector. Keys of PROXY_API_KEY work there as well.'
    ),
    trustedProxies: list(
      'TRUSTED_PROXIES',
      {
        items: { pattern: '^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$' },
        allowed: 'addresses and networks separated by commas, such as 10.0.0.2,172.18.0.0/16'
      },
      'Addresses or networks of your reverse proxies. Only their x-forwarded-for and x-forwarded-proto are believed; a proxy on this machine needs no entry.'
    ),
    maxBodyBytes: bytes(
      'MAX_BODY_BYTES',
      { min: 1024, max: 1024 * MEBIBYTE, default: 32 * MEBIBYTE },
      'Largest request body. Memory may lower it: 512M allows 11 MB, 2G the full 32 MB.'
    ),
    maxAnswerBytes: bytes(
      'MAX_ANSWER_BYTES',
      { min: 65_536, max: 1024 * MEBIBYTE, default: 16 * MEBIBYTE },
      'Largest answer, including reasoning and tool calls. A longer stream ends there as incomplete; a longer non-streamed answer is an error, as is one without enough memory (512M holds 11 MB at once).'
    ),
    bodyTimeoutMs: seconds(
      'BODY_TIMEOUT',
      { min: 0.1, max: DAY, default: 60 },
      'Longest time for a client to send its request body, and longest wait for the memory to read it.'
    ),
    maxConnections: count(
      'MAX_CLIENT_CONNECTIONS',
      { nullWord: 'auto', restart: true, min: 1, max: 1_000_000, default: null },
      'Client connections over all workers. auto allows as many as memory and open files permit: about 2200 in 512M.'
    ),
    clientStallTimeoutMs: seconds(
      'CLIENT_STALL_TIMEOUT',
      { min: 0.1, max: DAY, default: 60 },
      'Longest time a client may leave an answer unread before its connection is reset. At most 10 s without a key.'
    ),
    heartbeatMs: seconds(
      'HEARTBEAT_INTERVAL',
      { min: 0.01, max: DAY, default: 10 },
      'Time without data on a healthy stream after which the client gets a heartbeat.'
    )
  }),
  cluster: Type.Object({
    workers: count(
      'WORKERS',
      { nullWord: 'auto', restart: true, min: 1, max: 64, default: null, option: 'workers' },
      'Worker processes. auto starts one per CPU of the container, at most 2.'
    ),
    spread: choice(
      'WORKER_SPREAD',
      { default: 'packed', enum: ['packed', 'even'] },
      'Which workers accept new connections. packed uses one worker while that is enough, which costs less CPU, once each has given 100 answers; even uses whichever is first.'
    ),
    drainTimeoutMs: seconds(
      'DRAIN_TIMEOUT',
      { min: 0, max: DAY, default: 30 },
      'Longest time for running streams to finish at shutdown.'
    ),
    drainDelayMs: seconds(
      'DRAIN_DELAY',
      { min: 0, max: 600, default: 0 },
      'Time between SIGTERM and the drain. /readyz fails at once while requests are still served, so that a load balancer can redirect them.'
    ),
    stallTimeoutMs: seconds(
      'WORKER_STALL_TIMEOUT',
      { nullWord: 'none', min: 2, max: DAY, default: 10 },
      'Time without a sign of life after which a worker is killed and replaced. none means never.'
    )
  }),
  ...UpstreamSettings,
  models: Type.Object({
    aliases: pairs(
      'MODEL_ALIASES',
      { values: { minLength: 1 }, allowed: 'name=model pairs separated by commas, each name once' },
      'Aliases of models, such as my-opus=claude-opus-4.6.'
    ),
    windows: pairs(
      'MODEL_CONTEXT_WINDOWS',
      {
        values: { pattern: '^[1-9][0-9]{3,7}$' },
        allowed: 'model=tokens pairs separated by commas, each model once, 1000 to 99999999 tokens'
      },
      "Context windows that replace those of the upstream's model list, such as gpt-5.6-sol=1000000. Names are the upstream's."
    )
  }),
  reasoning: Type.Object({
    isEnabled: flag(
      'FAKE_REASONING',
      true,
      'Asks models without native reasoning to think inside tags, and returns that as reasoning.'
    ),
    maxTokens: count(
      'FAKE_REASONING_MAX_TOKENS',
      { min: 1, max: 1_000_000, default: 4000 },
      'Default thinking budget.'
    ),
    budgetCap: count(
      'FAKE_REASONING_BUDGET_CAP',
      { min: 1, max: 1_000_000, default: 10_000 },
      'Largest thinking budget that a request may set.'
    )
  }),
  payload: Type.Object({
    isTrimmed: flag(
      'AUTO_TRIM_PAYLOAD',
      false,
      'Drops the oldest turns of a conversation that the upstream refuses as too long, and retries once. Otherwise the client gets the error, so that it can compact.'
    )
  }),
  tools: Type.Object({
    descriptionMaxLength: count(
      'TOOL_DESCRIPTION_MAX_LENGTH',
      { min: 1, max: 1_000_000, default: 10_000 },
      'Longest tool description, in characters. Longer ones move into the system prompt.'
    ),
    maxCount: count(
      'TOOL_MAX_COUNT',
      { min: 1, max: 10_000, default: 120 },
      'Tools offered to the model; the upstream is reported to refuse more. Tools already called come first, and the rest are named in the system prompt.'
    ),
    webSearch: flag(
      'WEB_SEARCH',
      true,
      "Runs web searches for a model when the client offers the vendor's search tool. `false` removes that tool."
    ),
    sendsDocuments: flag(
      'NATIVE_DOCUMENTS',
      true,
      'Sends PDF, office and text documents natively, the newest five per request. `false` sends their text.'
    )
  }),
  fetch: Type.Object({
    isEnabled: flag(
      'FETCH_URLS',
      true,
      'Fetches images and documents given by http(s) URL, from the public internet only.'
    ),
    maxBytes: bytes(
      'FETCH_MAX_BYTES',
      { min: 1024, max: 256 * MEBIBYTE, default: 10 * MEBIBYTE },
      'Largest image or document to fetch.'
    ),
    timeoutMs: seconds(
      'FETCH_TIMEOUT',
      { min: 1, max: 120, default: 15 },
      'Longest time to fetch one of them, and longest wait for its turn.'
    ),
    maxConcurrent: count(
      'FETCH_MAX_CONCURRENT',
      { min: 1, max: 1000, default: 16 },
      'Concurrent fetches per worker, half of them for one client key. Further ones wait.'
    )
  }),
  responses: Type.Object({
    storeMaxBytes: bytes(
      'RESPONSE_STORE_MAX_BYTES',
      { min: 0, max: 1024 * 1024 * MEBIBYTE, default: 64 * MEBIBYTE },
      'Disk space in STATE_DIR for answers of the Responses API and what was asked: clients can read them, refer to them and go on from them by their ids. 0 stores none. When it is full, the key with the most stored answers loses its oldest.'
    ),
    storeMaxAgeMs: seconds(
      'RESPONSE_STORE_MAX_AGE',
      { min: 1, max: 30 * DAY, default: 7 * DAY },
      'How long these answers are stored.'
    )
  }),
  webSocket: Type.Object({
    maxConnections: count(
      'WEBSOCKET_MAX_CONNECTIONS',
      { min: 0, max: 1_000_000, default: 1000 },
      'WebSockets of Responses API clients, of all workers together. Clients beyond it use HTTP. 0 serves no WebSockets.'
    ),
    maxAgeMs: seconds(
      'WEBSOCKET_MAX_AGE',
      { min: 1, max: 7 * DAY, default: 3600 },
      'Age at which a WebSocket is closed, after the answer under way. Its client connects again.'
    ),
    keptBytes: bytes(
      'WEBSOCKET_KEPT_BYTES',
      { min: 0, max: 1024 * 1024 * MEBIBYTE, default: 64 * MEBIBYTE },
      'Memory for the conversations of all WebSockets, so that clients send only new items; each worker has an equal part. It is used while no request needs it; a client whose conversation was dropped sends it again.'
    )
  }),
  transform: Type.Object({
    threads: count(
      'TRANSFORM_THREADS',
      { restart: true, min: 1, max: 16, default: 1 },
      'Threads per worker for converting large requests.'
    ),
    inlineMaxBytes: bytes(
      'TRANSFORM_INLINE_MAX_BYTES',
      { restart: true, min: 0, max: 1024 * MEBIBYTE, default: 131_072 },
      'Largest body converted without a thread.'
    ),
    maxQueue: count(
      'TRANSFORM_MAX_QUEUE',
      { restart: true, min: 1, max: 10_000, default: 1000 },
      'Large requests per worker that may wait for a thread. Further ones are refused.'
    ),
    timeoutMs: seconds(
      'TRANSFORM_TIMEOUT',
      { restart: true, min: 0.1, max: 600, default: 5 },
      'Longest conversion of one request, in CPU seconds. A request that needs longer is refused.'
    )
  }),
  memory: Type.Object({
    limitBytes: bytes(
      'MEMORY_LIMIT',
      { restart: true, min: MIN_MEMORY_BYTES, max: 1024 * 1024 * MEBIBYTE, default: null },
      "Memory to plan for, such as 512M. By default the container's limit, or 512M without one."
    )
  }),
  usage: Type.Object({
    isKept: flag(
      'USAGE_LOG',
      true,
      'Records usage in STATE_DIR/usage.db: key, client, model, tokens, credits and times of each request, never its text.'
    ),
    retentionDays: count(
      'USAGE_RETENTION_DAYS',
      { min: 1, max: 3650, default: 90 },
      'Days to keep single requests there. Daily sums are kept forever.'
    )
  }),
  devices: Type.Object({
    signIn: choice(
      'DEVICE_SIGN_IN',
      { default: 'approve', enum: ['off', 'approve', 'self'] },
      'Sign-in of clients without a key, by a code on the page /device. approve: an operator approves each device. self: a person with a named key may approve devices for that key, too. off: there is no such sign-in, and devices that have signed in are refused.'
    )
  }),
  plan: Type.Object({
    allowsOverage: flag(
      'ALLOW_OVERAGE',
      false,
      "Continues to serve requests when the plan's credits are used up and Kiro charges extra. Otherwise they are refused until the plan is reset, except for keys with --overage (kiro-gateway key set NAME --overage)."
    ),
    isShown: flag(
      'PLAN_STANDING',
      false,
      'Shows Claude Code how much of the Kiro plan is used, if its key has no credit limit. Its users then know what all clients together have used.'
    ),
    lastsUntil: text(
      'PLAN_LASTS_UNTIL',
      {
        default: 'reset',
        pattern: '^(reset|none|[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]))$',
        allowed: 'reset, a day such as 2026-12-21, or none'
      },
      'How long the plan should last. ALERT_WEBHOOK_URL gets an alert when it will be used up before that day ends, at the rate of the last weeks. reset means until it is reset.'
    )
  }),
  alerts: Type.Object({
    webhookUrl: text(
      'ALERT_WEBHOOK_URL',
      {
        kind: 'address',
        isSecret: true,
        pattern: '^https?://[^\\s/?#@]+([/?][^\\s#]*)?$',
        allowed: 'an http:// or https:// URL without user and password'
      },
      'Webhook that gets a small JSON document when keys or the plan reach 80 and 100 % of their limits, the plan will not last (PLAN_LASTS_UNTIL), credits are used outside the gateway, the sign-in fails, the account is suspended or workers repeatedly die. Each alert is sent once. The address is never shown.'
    ),
    webhookSecret: text(
      'ALERT_WEBHOOK_SECRET',
      { isSecret: true },
      'Secret that signs these messages: their header x-kiro-gateway-signature is sha256= followed by the HMAC-SHA256 of the body in hex.'
    )
  }),
  /** Claude Code, where people are signed in to the gateway. */
  clients: Type.Object({
    managedSettingsFile: text(
      'MANAGED_SETTINGS_FILE',
      { kind: 'path' },
      'File with settings of Claude Code for everyone who is signed in to the gateway: a JSON object like its managed-settings.json, of at most 256 KiB. By default there are none.'
    ),
    telemetry: choice(
      'CLIENT_TELEMETRY',
      { default: 'drop', enum: ['drop', 'forward'] },
      'What becomes of the telemetry that Claude Code sends to a gateway: drop, or forward to OTEL_EXPORTER_OTLP_ENDPOINT with OTEL_EXPORTER_OTLP_HEADERS.'
    )
  }),
  ...FleetSettings,
  ...TraceSettings,
  observe: Type.Object({
    level: choice(
      'LOG_LEVEL',
      { default: 'info', enum: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] },
      'Lowest level to log.'
    ),
    logFormat: choice(
      'LOG_FORMAT',
      { restart: true, default: 'auto', enum: ['auto', 'json', 'pretty'] },
      'Format of log lines: json, one object per line; pretty, for people; auto, pretty in a terminal.'
    ),
    noColor: text(
      'NO_COLOR',
      { restart: true },
      'Any value turns colours off in a terminal, as in many programs (no-color.org).'
    ),
    dashboard: choice(
      'DASHBOARD',
      { default: 'on', enum: ['on', 'read-only', 'off'] },
      'Serves the panel at `/`: on; read-only, which shows everything and changes nothing; off. Its API is under `/admin/v1`.'
    ),
    trustedHeader: text(
      'DASHBOARD_TRUSTED_HEADER',
      {
        pattern: '^[A-Za-z0-9-]{1,64}$',
        allowed: 'the name of a header, such as x-forwarded-user'
      },
      'Header in which a proxy of TRUSTED_PROXIES names the user whom it has signed in. Those of DASHBOARD_OPERATORS may use the panel as operators, without a key. The proxy must remove this header from what clients send.'
    ),
    operators: list(
      'DASHBOARD_OPERATORS',
      {
        items: { minLength: 1, maxLength: 256 },
        allowed:
          'names or e-mail addresses separated by commas, *@example.com for all of a domain, or * for everyone whom the proxy lets in'
      },
      'Users who may operate the gateway in the panel: names or e-mail addresses, separated by commas; *@example.com for all users of DASHBOARD_OIDC_ISSUER with such an address; * for everyone whom the proxy of DASHBOARD_TRUSTED_HEADER lets in.'
    ),
    oidcIssuer: text(
      'DASHBOARD_OIDC_ISSUER',
      {
        kind: 'address',
        pattern: '^https?://[^\\s?#@]+$',
        allowed: 'an https:// URL, or http:// on this machine'
      },
      'OpenID Connect provider with which operators sign in to the panel, such as https://accounts.google.com. Users of DASHBOARD_OPERATORS and DASHBOARD_OIDC_GROUPS may operate the gateway. Register https://your-gateway/dashboard/oidc/callback there.'
    ),
    oidcClientId: text(
      'DASHBOARD_OIDC_CLIENT_ID',
      {},
      'Client ID that the provider has given for this gateway.'
    ),
    oidcClientSecret: text(
      'DASHBOARD_OIDC_CLIENT_SECRET',
      { isSecret: true },
      'Client secret that the provider has given; none for a public client. PKCE is always used.'
    ),
    oidcGroups: list(
      'DASHBOARD_OIDC_GROUPS',
      { items: { minLength: 1, maxLength: 128 }, allowed: 'names of groups separated by commas' },
      'Groups of the provider (claim groups) whose members may operate the gateway in the panel, separated by commas.'
    ),
    debugMode: choice(
      'DEBUG_MODE',
      { default: 'off', enum: ['off', 'errors', 'all'] },
      'Which requests write a file to DEBUG_DIR: how they were built and their outcome, but none of their text.'
    ),
    debugDir: text(
      'DEBUG_DIR',
      { restart: true, kind: 'path', default: 'debug_logs' },
      'Folder for these files. The newest 200 are kept.'
    ),
    keepsContent: flag(
      'DEBUG_CONTENT',
      false,
      'Also stores the content of the requests that DEBUG_MODE selects: request, upstream request, raw answer and client answer, in DEBUG_DIR/captures, for "kiro-gateway replay". Prompts and answers are stored there in plain text.',
      { restart: true }
    ),
    contentMaxBytes: bytes(
      'DEBUG_CONTENT_MAX_BYTES',
      { min: MEBIBYTE, max: 1024 * 1024 * MEBIBYTE, default: 256 * MEBIBYTE },
      'Disk space for these captures, of which there are at most 200. The oldest are deleted first.'
    ),
    contentMaxAgeMs: seconds(
      'DEBUG_CONTENT_MAX_AGE',
      { min: 1, max: 30 * DAY, default: DAY },
      'How long a capture is kept.'
    )
  })
})

type DeepReadonly<T> = T extends object ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> } : T

/** Checked, with defaults, deeply frozen, plain JSON. */
export type Config = DeepReadonly<Static<typeof Settings>> & {
  /** `NODE_ENV=production`: missing credentials are an error instead of a reason to simulate. */
  readonly isProduction: boolean
  /** Content of `MANAGED_SETTINGS_FILE`; `null` without one, and for commands. */
  readonly managed: ManagedSettings | null
}
