import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AccountFigures, SimulatedAccount } from './account.ts'
import { AnswerEncoder } from './answer.ts'
import { type Equipment, NO_EQUIPMENT } from './equipment.ts'
import { SimulatedUpstream } from './request-handler.ts'
import { PromptMemory } from './words.ts'

export interface SimulatorOptions {
  readonly host?: string
  /** 0 takes any free port. */
  readonly port?: number
  /** Milliseconds between events where the prompt does not say. */
  readonly gapMs?: number
  /** Time after which the simulator closes an idle connection. */
  readonly keepAliveTimeoutMs?: number
  /** Use of its account before; that of the first day if left out. */
  readonly account?: Partial<AccountFigures>
  /** Milliseconds since the epoch. */
  readonly now?: () => number
  readonly equipment?: Equipment
}

const DEFAULT_GAP_MS = 15
const DEFAULT_KEEP_ALIVE_MS = 600_000
/** A cluster opens its whole budget at once. */
const LISTEN_BACKLOG = 4_096

/**
 * A fake of the upstream on loopback: the same endpoints, frames and refusals, and faults on demand
 * (`docs/simulator.md`). Holds nothing but its socket; several can run in one process.
 */
export class Simulator {
  readonly #options: SimulatorOptions
  readonly #server: Server
  readonly account: SimulatedAccount
  #closing: Promise<void> | null = null

  constructor(options: SimulatorOptions = {}) {
    this.#options = options
    const { equipment = NO_EQUIPMENT } = options
    this.account = new SimulatedAccount(options.account)
    const handler = new SimulatedUpstream({
      equipment,
      encoder: new AnswerEncoder(),
      account: this.account,
      memory: new PromptMemory(),
      gapMs: options.gapMs ?? DEFAULT_GAP_MS,
      now: options.now ?? Date.now
    })
    this.#server = createServer((request: IncomingMessage, response: ServerResponse) => {
      void handler.handle(request, response) // rejects only for a bug, which must be seen
    })
    this.#server.keepAliveTimeout = options.keepAliveTimeoutMs ?? DEFAULT_KEEP_ALIVE_MS
    this.#server.keepAliveTimeoutBuffer = 0
    this.#server.on('connection', (socket) => equipment.onConnection(socket))
  }

  /** Resolves when it listens. */
  async start(): Promise<{ readonly url: string; readonly port: number }> {
    const { host = '127.0.0.1', port = 0 } = this.#options
    this.#server.listen({ host, port, backlog: LISTEN_BACKLOG })
    await once(this.#server, 'listening')
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('not listening on TCP')
    return { url: `http://${host}:${address.port}`, port: address.port }
  }

  /** Stops listening and cuts what still runs: answers may stall for ever on purpose. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }
}
