import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { connect } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createSecureContext } from 'node:tls'
import type { Config } from '../config/settings.ts'
import { FrameEncoder } from '../frames/frame-encoder.ts'
import { GOOD_STATUS, NO_GRANT, type WorkerStart } from '../ipc/messages.ts'
import { NO_DEVICES } from '../devices/access-check.ts'
import { NO_KNOWN_KEYS } from '../keys/key.ts'
import { AUTO_MODEL, BUILT_IN_CATALOGUE } from '../kiro/models/models.ts'
import { PrimaryPulse } from './primary/primary-pulse.ts'
import { closeParts, createParts } from './worker-parts.ts'
import { OpenTurns } from './worker/open-turns.ts'

/** More compile little that the first clients need, and each takes some 30 ms of CPU. */
const ROUNDS = 2
const HOST = '127.0.0.1'
const PERMITS = 2
const PATIENCE_MS = 10_000
const NOBODY = { send: (): void => {} } as const

/**
 * Answers made-up requests, so that the first clients find the code compiled: V8 compiles a function at its first call,
 * which is a third of what a new worker does for them. Requests come over HTTP and go to an upstream in this process.
 * Everything that counts, logs, limits or keeps them is their own and is thrown away. Ends early when `isResting` returns
 * false: requests of clients compile the rest. Returns the number of whole answers.
 */
export async function rehearse(start: WorkerStart, isResting: () => boolean): Promise<number> {
  const { apiUrl: url } = start.config.upstream
  if (url === null || url.startsWith('https:')) createSecureContext() // reads the certificates that its first connection needs
  const key = randomUUID() // both listeners answer no other client, and are closed after some 100 ms
  const upstream = createServer((request, response) => {
    if (request.headers.authorization === `Bearer ${key}`) answer(request, response)
    else response.writeHead(401).end()
  })
  upstream.maxConnections = PERMITS
  const apiUrl = `http://${await listen(upstream)}`
  try {
    return await rehearseWith(
      { ...start, ...ownParts(key), config: configOf(start.config, { key, apiUrl }) },
      isResting
    )
  } finally {
    await close(upstream)
  }
}

async function rehearseWith(start: WorkerStart, isResting: () => boolean): Promise<number> {
  const pulse = new PrimaryPulse(NOBODY)
  const parts = createParts(start, {
    channel: NOBODY,
    logStream: { write: () => {} },
    pulse,
    turns: new OpenTurns(),
    life: { state: 'open', isAccepting: true, isLeaving: false }
  })
  const { connections, app, plane } = parts
  const grant = { granted: PERMITS, keepAlive: PERMITS, maxWaiting: PERMITS }
  plane.lease.onMessage({ ...NO_GRANT, seq: 1, ...grant })
  const gateway = connections.createServer(app)
  const [key = ''] = start.config.server.apiKeys
  let answers = 0
  try {
    const host = await listen(gateway)
    for (const request of requestsTo(host, key)) {
      if (!isResting()) break
      if (await isAnswered(host, request)) answers += 1
      await nextTurn()
    }
  } finally {
    await closeParts(parts, () => Promise.resolve()).finally(() => pulse.close())
    await close(gateway)
  }
  return answers
}

function ownParts(token: string) {
  const snapshot = {
    id: 'rehearsal',
    token,
    tokenType: 'none',
    authType: 'social',
    profileArn: null,
    apiRegion: 'us-east-1',
    expiresAt: null
  } as const
  return {
    news: { snapshot, problem: null },
    accountStatus: GOOD_STATUS,
    planBar: null,
    planStanding: null,
    catalogue: BUILT_IN_CATALOGUE,
    knownKeys: NO_KNOWN_KEYS,
    devices: NO_DEVICES
  } satisfies Partial<WorkerStart>
}

function configOf(
  config: Config,
  { key, apiUrl }: { readonly key: string; readonly apiUrl: string }
): Config {
  return {
    ...config,
    server: { ...config.server, apiKeys: [key] },
    credentials: { ...config.credentials, isKeyPassthrough: false },
    upstream: { ...config.upstream, apiUrl },
    pool: { ...config.pool, minIdle: 0 },
    proxy: { ...config.proxy, url: null, httpsUrl: null },
    fleet: { ...config.fleet, url: null },
    responses: { ...config.responses, storeMaxBytes: 0 },
    observe: { ...config.observe, debugMode: 'off', keepsContent: false }
  }
}

/** `exclusive`: workers of a cluster would share the port. */
async function listen(server: Server): Promise<string> {
  server.on('error', () => {}) // of a connection that the system could not accept
  server.listen({ host: HOST, port: 0, exclusive: true })
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('it has no port')
  return `${HOST}:${address.port}`
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

const answer: RequestListener = (request, response) => {
  request.resume().once('end', () => {
    response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
    response.write(frame('assistantResponseEvent', { content: 'The fox ' }))
    setImmediate(() => {
      response.write(frame('assistantResponseEvent', { content: 'jumps over the lazy dog.' }))
      setImmediate(() => response.end(LAST))
    })
  })
}

function frame(eventType: string, payload: object): Buffer {
  const headers = {
    ':message-type': 'event',
    ':event-type': eventType,
    ':content-type': 'application/json'
  }
  return new FrameEncoder(headers).encode(JSON.stringify(payload))
}

const CALL = { name: 'read', toolUseId: 'tooluse_1' } as const
const LAST = Buffer.concat([
  frame('toolUseEvent', { ...CALL, input: '{"path":' }),
  frame('toolUseEvent', { ...CALL, input: '"a.txt"}' }),
  frame('toolUseEvent', { ...CALL, stop: true }),
  frame('metadataEvent', { stopReason: 'TOOL_USE' }),
  frame('contextUsageEvent', { contextUsagePercentage: 1.5 }),
  frame('meteringEvent', { unit: 'credit', unitPlural: 'credits', usage: 0.1 })
])

const SCHEMA = {
  type: 'object',
  properties: { path: { type: 'string', description: 'Path of a file' } },
  required: ['path'],
  additionalProperties: false
} as const
const TOOL = { name: 'read', description: 'Reads a file.' } as const
const COMMON = { model: AUTO_MODEL, stream: true } as const
const SYSTEM = 'You are terse.'
const QUESTION = 'What does the fox do?'

const BODIES: Readonly<Record<string, object>> = {
  '/v1/messages': {
    ...COMMON,
    max_tokens: 1024,
    system: SYSTEM,
    messages: [
      { role: 'user', content: QUESTION },
      {
        role: 'assistant',
        content: [{ type: 'tool_use', id: 'toolu_1', name: 'read', input: { path: 'fox.txt' } }]
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'jumps' }] }
    ],
    tools: [{ ...TOOL, input_schema: SCHEMA }]
  },
  '/v1/chat/completions': {
    ...COMMON,
    messages: [
      { role: 'system', content: SYSTEM },
      { role: 'user', content: QUESTION },
      {
        role: 'assistant',
        content: null,
        tool_calls: [
          {
            id: 'call_1',
            type: 'function',
            function: { name: 'read', arguments: '{"path":"fox.txt"}' }
          }
        ]
      },
      { role: 'tool', tool_call_id: 'call_1', content: 'jumps' }
    ],
    tools: [{ type: 'function', function: { ...TOOL, parameters: SCHEMA } }]
  },
  '/v1/responses': {
    ...COMMON,
    store: false,
    instructions: SYSTEM,
    input: [
      { role: 'user', content: QUESTION },
      { type: 'function_call', call_id: 'call_1', name: 'read', arguments: '{"path":"fox.txt"}' },
      { type: 'function_call_output', call_id: 'call_1', output: 'jumps' }
    ],
    tools: [{ type: 'function', ...TOOL, parameters: SCHEMA }]
  }
}

function* requestsTo(host: string, key: string): Generator<string> {
  for (let round = 0; round < ROUNDS; round++) {
    for (const [path, body] of Object.entries(BODIES)) {
      const text = JSON.stringify(body)
      yield [
        `POST ${path} HTTP/1.1`,
        `host: ${host}`,
        `authorization: Bearer ${key}`,
        'content-type: application/json',
        `content-length: ${text.length}`,
        'connection: close',
        '',
        text
      ].join('\r\n')
    }
  }
}

async function isAnswered(host: string, request: string): Promise<boolean> {
  const socket = connect({ host: HOST, port: Number(host.split(':')[1]) })
  let text = ''
  socket.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  socket.setTimeout(PATIENCE_MS, () => socket.destroy())
  socket.write(request)
  await once(socket, 'close')
  return text.startsWith('HTTP/1.1 200 ') && text.endsWith('\r\n0\r\n\r\n')
}
