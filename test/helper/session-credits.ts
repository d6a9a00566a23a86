import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import type { HistoryEntry, UpstreamPayload } from '../../src/kiro/wire/payload.ts'
import { Simulator } from '../strict-simulator/simulator.ts'
import { type AgentSession, claudeCodeSession, codexSession, NOTE } from './agent-sessions.ts'
import { startGateway } from './gateway-process.ts'
import { serverUrl } from './server-url.ts'
import { eventsOf } from './simulator-request.ts'

/** What a session of an agent cost, as the upstream charged it. */
export interface SessionCredits {
  readonly client: string
  readonly stable: number
  /** With requests as a gateway writes them that keeps nothing alike. */
  readonly unstable: number
}

/** Runs the sessions through a gateway and the simulator twice: as they are, and with every request made unlike the last. */
export async function creditsOfSessions(turns: number): Promise<readonly SessionCredits[]> {
  const sessions = { 'Claude Code': claudeCodeSession(turns), Codex: codexSession(turns) }
  const all = Object.values(sessions)
  const stable = await creditsOf(all, (payload) => payload)
  const unstable = await creditsOf(all, unsettled)
  return Object.keys(sessions).map((client, at) => ({
    client,
    stable: stable[at] ?? 0,
    unstable: unstable[at] ?? 0
  }))
}

type Change = (payload: UpstreamPayload) => UpstreamPayload

/** What each session costs. */
async function creditsOf(
  sessions: readonly AgentSession[],
  change: Change
): Promise<readonly number[]> {
  const simulator = new Simulator({ gapMs: 0 })
  const meter = await Meter.start((await simulator.start()).url, change)
  const env = { PROXY_API_KEY: KEY, WORKERS: '1' }
  const gateway = await startGateway({ upstreamUrl: meter.url, env })
  try {
    const credits: number[] = []
    for (const session of sessions) {
      const before = meter.credits
      for (const body of session.requests) {
        const answer = await fetch(`${gateway.url}${session.path}`, {
          method: 'POST',
          headers: { 'x-api-key': KEY, 'content-type': 'application/json', ...session.headers },
          body: JSON.stringify(body)
        })
        const text = await answer.text()
        if (answer.status !== 200) throw new Error(`${answer.status}: ${text}`)
      }
      credits.push(meter.credits - before)
    }
    return credits
  } finally {
    await gateway.destroy()
    meter.close()
    await simulator.close()
  }
}

const KEY = 'test-key'

/** Passes everything on to an upstream, changes the requests on the way, and adds up what the answers cost. */
class Meter {
  credits = 0
  url = ''
  readonly #server: Server

  private constructor(upstream: string, change: Change) {
    this.#server = createServer((request, response) => {
      void this.#pass({ upstream, change, request, response })
    })
  }

  static async start(upstream: string, change: Change): Promise<Meter> {
    const meter = new Meter(upstream, change)
    meter.url = (await serverUrl(meter.#server)).origin
    return meter
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  async #pass({ upstream, change, request, response }: Passed): Promise<void> {
    const sent = await buffer(request)
    const isGeneration = sent.includes('"conversationState"')
    const body = isGeneration ? JSON.stringify(change(JSON.parse(sent.toString()))) : sent
    const { host: _host, 'content-length': _length, connection: _, ...headers } = request.headers
    const answer = await fetch(`${upstream}${request.url}`, {
      method: request.method ?? 'GET',
      headers: headers as Record<string, string>,
      ...(sent.byteLength > 0 && { body })
    })
    const copy = answer.clone()
    const bytes = Buffer.from(await answer.arrayBuffer())
    const type = answer.headers.get('content-type') ?? ''
    if (isGeneration && answer.ok) {
      for (const event of await eventsOf(copy)) {
        if (event.type === 'metering') this.credits += event.credits
      }
    }
    response.writeHead(answer.status, { 'content-type': type, 'content-length': bytes.byteLength })
    response.end(bytes)
  }
}

interface Passed {
  readonly upstream: string
  readonly change: Change
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

/**
 * As gateways write it that take no care: another id and Claude Code's billing line each time, notes moved to the front,
 * other words in the history than were sent.
 */
function unsettled(payload: UpstreamPayload): UpstreamPayload {
  const { conversationState: state } = payload
  const { history = [], currentMessage } = state
  const notes = JSON.stringify([history, currentMessage]).match(NOTE) ?? []
  const moved = history.map((entry, index) => {
    if (!('userInputMessage' in entry)) return entry
    const content = withoutNotes(entry)
    return {
      userInputMessage: { ...entry.userInputMessage, content: first(content, index, notes) }
    }
  })
  return {
    ...payload,
    conversationState: {
      ...state,
      conversationId: randomUUID(),
      ...(moved.length > 0 && { history: moved })
    }
  }
}

function first(content: string, index: number, notes: readonly string[]): string {
  if (index > 0) return content
  const billing = `x-anthropic-billing-header: cc_version=${randomUUID()};`
  return [billing, ...notes.map((one) => JSON.parse(`"${one}"`)), content].join('\n')
}

function withoutNotes(entry: Extract<HistoryEntry, { userInputMessage: object }>): string {
  const { content } = entry.userInputMessage
  const rest = content.replaceAll(NOTE, '')
  return rest.trim() === '' || rest.trim() === 'Continue.' ? ' ' : rest
}
