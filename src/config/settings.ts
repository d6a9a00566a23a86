import { type Static, Type } from '../shared/schema-type.ts'
import { FleetSettings } from './fleet-settings.ts'
import { MIN_MEMORY_BYTES } from './memory-plan.ts'
import { bytes, choice, count, DAY, flag, seconds, setting, text } from './setting.ts'
import { TraceSettings } from './trace-settings.ts'
import { UpstreamSettings } from './upstream-settings.ts'

const MEBIBYTE = 1024 * 1024

/**
 * Every setting: where it is read from, its bounds, default and meaning. docs/settings.md and `.env.example` are made
 * of it. `restart`: a running gateway keeps the old value. `null` means no limit, automatic or left out, as each
 * sentence says.
 */
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
      'Address to listen on; 0.0.0.0 means every interface and needs PROXY_API_KEY.'
    ),
    port: count(
      'SERVER_PORT',
      { restart: true, min: 0, max: 65_535, default: 8000, option: 'port' },
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
    metricsKey: text(
      'METRICS_KEY',
      {
        default: null,
        isSecret: true,
        pattern: '^[\\x21-\\x7e]+$',
        allowed: 'printable ASCII characters without spaces'
      },
      'A key that opens /metrics and nothing else, for the program that collects them; keys of PROXY_API_KEY open it, too.'
    ),
    maxBodyBytes: bytes(
      'MAX_BODY_BYTES',
      { min: 1024, max: 1024 * MEBIBYTE, default: 32 * MEBIBYTE },
      'Largest request body that is read, as far as there is memory for it: 512M allow 11 MB, 2G the whole 32 MB.'
    ),
    maxAnswerBytes: bytes(
      'MAX_ANSWER_BYTES',
      { min: 65_536, max: 1024 * MEBIBYTE, default: 16 * MEBIBYTE },
      'Longest answer, reasoning and tool calls included. A stream ends there as an incomplete answer, one that is sent in one piece is an error, as it is where there is no memory for it: 512M hold 11 MB at once.'
    ),
    bodyTimeoutMs: seconds(
      'BODY_TIMEOUT',
      { min: 0.1, max: DAY, default: 60 },
      'Longest time a client may take to send its request body, and longest wait for memory to read it into.'
    ),
    maxConnections: count(
      'MAX_CLIENT_CONNECTIONS',
      { nullWord: 'auto', restart: true, min: 1, max: 1_000_000, default: null },
      'Connections that clients may hold open, over all workers; auto takes as many as there are memory and open files for: about 2200 in 512M.'
    ),
    clientStallTimeoutMs: seconds(
      'CLIENT_STALL_TIMEOUT',
      { min: 0.1, max: DAY, default: 60 },
      'Longest time a client may leave an answer unread before its connection is reset; without a key at most 10 s.'
    ),
    heartbeatMs: seconds(
      'HEARTBEAT_INTERVAL',
      { min: 0.01, max: DAY, default: 10 },
      'Silence on a healthy stream after which the client is sent a heartbeat.'
    )
  }),
  cluster: Type.Object({
    workers: count(
      'WORKERS',
      { nullWord: 'auto', restart: true, min: 1, max: 64, default: null, option: 'workers' },
      'Worker processes; auto takes one for each CPU of the container, at most 2.'
    ),
    spread: choice(
      'WORKER_SPREAD',
      { default: 'packed', enum: ['packed', 'even'] },
      'Which workers take new connections: packed leaves them to one as long as that is enough, which costs less CPU; even to whichever is first.'
    ),
    drainTimeoutMs: seconds(
      'DRAIN_TIMEOUT',
      { min: 0, max: DAY, default: 30 },
      'Longest time running streams get to finish at shutdown.'
    ),
    drainDelayMs: seconds(
      'DRAIN_DELAY',
      { min: 0, max: 600, default: 0 },
      'Time between SIGTERM and the drain: /readyz says no at once, and everything is served until then, so that a proxy in front can send requests elsewhere.'
    ),
    stallTimeoutMs: seconds(
      'WORKER_STALL_TIMEOUT',
      { nullWord: 'none', min: 2, max: DAY, default: 10 },
      'Time without a sign of life after which a worker is killed and replaced; none means never.'
    )
  }),
  ...UpstreamSettings,
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
    ),
    windows: setting<Record<string, string>>(
      {
        env: 'MODEL_CONTEXT_WINDOWS',
        kind: 'pairs',
        default: {},
        allowed: 'model=tokens pairs separated by commas, each model once, 1000 to 99999999 tokens',
        description:
          "Input windows that count instead of the upstream's list, as in gpt-5.6-sol=1000000; the names are the upstream's."
      },
      { type: 'object', additionalProperties: { type: 'string', pattern: '^[1-9][0-9]{3,7}$' } }
    )
  }),
  reasoning: Type.Object({
    isEnabled: flag(
      'FAKE_REASONING',
      true,
      'Asks models without native reasoning to think in tags and tells it apart.'
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
    isTrimmed: flag(
      'AUTO_TRIM_PAYLOAD',
      false,
      'Leaves out the oldest turns of a conversation that the upstream refuses as too long, and asks once more; otherwise the client is told, so that it can compact.'
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
    webSearch: flag(
      'WEB_SEARCH',
      true,
      "Makes the web searches that a model asks for where a client offers the vendor's tool for it; `false` leaves that tool out."
    ),
    sendsDocuments: flag(
      'NATIVE_DOCUMENTS',
      true,
      'Sends PDF, office and text documents as they are, the newest five of a request; `false` sends their text.'
    )
  }),
  fetch: Type.Object({
    isEnabled: flag(
      'FETCH_URLS',
      true,
      'Fetches images and documents that requests name by http(s) URL, from the public internet only.'
    ),
    maxBytes: bytes(
      'FETCH_MAX_BYTES',
      { min: 1024, max: 256 * MEBIBYTE, default: 10 * MEBIBYTE },
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
      { min: 0, max: 1024 * 1024 * MEBIBYTE, default: 64 * MEBIBYTE },
      'Most room on disk, in STATE_DIR, for answers that clients of the Responses API may refer to by id; 0 keeps none. Where it is full, the key that keeps the most makes room.'
    ),
    storeMaxAgeMs: seconds(
      'RESPONSE_STORE_MAX_AGE',
      { min: 1, max: 30 * DAY, default: 7 * DAY },
      'How long such answers are kept.'
    )
  }),
  transform: Type.Object({
    threads: count(
      'TRANSFORM_THREADS',
      { restart: true, min: 1, max: 16, default: 1 },
      'Threads of each worker for converting large requests.'
    ),
    inlineMaxBytes: bytes(
      'TRANSFORM_INLINE_MAX_BYTES',
      { restart: true, min: 0, max: 1024 * MEBIBYTE, default: 131_072 },
      'Largest body that is converted without a thread.'
    ),
    maxQueue: count(
      'TRANSFORM_MAX_QUEUE',
      { restart: true, min: 1, max: 10_000, default: 1000 },
      'Large requests of a worker that may wait for a thread; more are refused.'
    ),
    timeoutMs: seconds(
      'TRANSFORM_TIMEOUT',
      { restart: true, min: 0.1, max: 600, default: 5 },
      'Longest conversion of one request, in seconds of a CPU; one that takes longer is refused.'
    )
  }),
  memory: Type.Object({
    limitBytes: bytes(
      'MEMORY_LIMIT',
      { restart: true, min: MIN_MEMORY_BYTES, max: 1024 * 1024 * MEBIBYTE, default: null },
      'Memory to plan for, as in 512M; left out, the limit of the container, or 512M where it has none.'
    )
  }),
  usage: Type.Object({
    isKept: flag(
      'USAGE_LOG',
      true,
      'Keeps who used how much in STATE_DIR/usage.db: key, client, model, tokens, credits and times of each request, and never a word of it.'
    ),
    retentionDays: count(
      'USAGE_RETENTION_DAYS',
      { min: 1, max: 3650, default: 90 },
      'How long each request is kept there; sums of days are kept for ever.'
    )
  }),
  plan: Type.Object({
    allowsOverage: flag(
      'ALLOW_OVERAGE',
      false,
      "Lets requests go on when the plan's credits are used up and Kiro charges extra for each further one. Otherwise they are refused until the plan is reset, but for keys that may (kiro-gateway key set NAME --overage)."
    ),
    lastsUntil: text(
      'PLAN_LASTS_UNTIL',
      {
        default: 'reset',
        pattern: '^(reset|none|[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]))$',
        allowed: 'reset, a day such as 2026-12-21, or none'
      },
      'How long the plan should last: ALERT_WEBHOOK_URL is told when it will be used up before that day ends, at the rate of the last weeks; reset means until it is reset.'
    )
  }),
  alerts: Type.Object({
    webhookUrl: text(
      'ALERT_WEBHOOK_URL',
      {
        default: null,
        kind: 'address',
        isSecret: true,
        pattern: '^https?://[^\\s/?#@]+([/?][^\\s#]*)?$',
        allowed: 'an http:// or https:// URL without user and password'
      },
      'Address that is told, by a small JSON document, when keys and the plan come to 80 and 100 % of their limits, the plan will not last (PLAN_LASTS_UNTIL), credits are used outside the gateway, the sign-in dies, the account is suspended or workers keep dying. It is told each once, and shown nowhere.'
    ),
    webhookSecret: text(
      'ALERT_WEBHOOK_SECRET',
      { default: null, isSecret: true },
      'Signs these messages: their header x-kiro-gateway-signature is sha256= and the HMAC-SHA256 of the body, in hex.'
    )
  }),
  ...FleetSettings,
  ...TraceSettings,
  observe: Type.Object({
    level: choice(
      'LOG_LEVEL',
      { default: 'info', enum: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] },
      'Least severe level that is logged.'
    ),
    logFormat: choice(
      'LOG_FORMAT',
      { restart: true, default: 'auto', enum: ['auto', 'json', 'pretty'] },
      'How log lines look: json, one object a line; pretty, for people; auto is pretty where the log is a terminal.'
    ),
    noColor: text(
      'NO_COLOR',
      { restart: true, default: null },
      'With any text, the log has no colours in a terminal, as with many programs (no-color.org).'
    ),
    dashboard: choice(
      'DASHBOARD',
      { default: 'on', enum: ['on', 'off'] },
      'Shows at `/` how the gateway does, to those who sign in with a key of PROXY_API_KEY.'
    ),
    debugMode: choice(
      'DEBUG_MODE',
      { default: 'off', enum: ['off', 'errors', 'all'] },
      'Which requests leave a file in DEBUG_DIR: how they were built and what became of them, but none of their text.'
    ),
    debugDir: text(
      'DEBUG_DIR',
      { restart: true, kind: 'path', default: 'debug_logs' },
      'Folder for these files; the newest 200 are kept.'
    ),
    keepsContent: setting<boolean>(
      {
        env: 'DEBUG_CONTENT',
        restart: true,
        kind: 'flag',
        default: false,
        description:
          'Also keeps what was said, by the requests of DEBUG_MODE: request, upstream request, raw answer and the client\'s, in DEBUG_DIR/captures, for "kiro-gateway replay". Prompts and answers stand there in plain text.'
      },
      { type: 'boolean' }
    ),
    contentMaxBytes: bytes(
      'DEBUG_CONTENT_MAX_BYTES',
      { min: MEBIBYTE, max: 1024 * 1024 * MEBIBYTE, default: 256 * MEBIBYTE },
      'Most room on disk for these captures; the oldest go first, of 200 at most.'
    ),
    contentMaxAgeMs: seconds(
      'DEBUG_CONTENT_MAX_AGE',
      { min: 1, max: 30 * DAY, default: DAY },
      'How long a capture is kept.'
    )
  })
})

type DeepReadonly<T> = T extends object ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> } : T

/** The settings as the program sees them: checked, defaults filled in, deeply frozen, plain JSON. */
export type Config = DeepReadonly<Static<typeof Settings>> & {
  /** `NODE_ENV=production`: missing credentials are an error instead of a reason to simulate. */
  readonly isProduction: boolean
}
