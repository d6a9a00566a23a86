import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AccountFigures, SimulatedAccount } from './account.ts'
import { AnswerEncoder } from './answer.ts'
import { HeldBodies } from './held-bodies.ts'
import { type Equipment, NO_EQUIPMENT } from './equipment.ts'
import { SimulatedUpstream } from './request-handler.ts'
import { PromptMemory } from './words.ts'

export interface SimulatorOptions {
  readonly host?: string
  readonly port?: number
  /** Ms between events unless the prompt sets it. */
  readonly gapMs?: number
  readonly keepAliveTimeoutMs?: number
  /** Bytes of bodies that requests under way may hold; default any number. */
  readonly maxHeldBytes?: number
  readonly account?: Partial<AccountFigures>
  readonly now?: () => number
  readonly equipment?: Equipment
}

const DEFAULT_GAP_MS = 15
const DEFAULT_KEEP_ALIVE_MS = 600_000
/** A cluster opens its whole budget at once. */
const LISTEN_BACKLOG = 4_096

/** Fake upstream on loopback, with faults on demand (`docs/simulator.md`). Several can run in one process. */
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
      now: options.now ?? Date.now,
      bodies: new HeldBodies(options.maxHeldBytes ?? Infinity)
    })
    this.#server = createServer((request: IncomingMessage, response: ServerResponse) => {
      void handler.handle(request, response) // rejects only for a bug, which must be seen
    })
    this.#server.keepAliveTimeout = options.keepAliveTimeoutMs ?? DEFAULT_KEEP_ALIVE_MS
    this.#server.keepAliveTimeoutBuffer = 0
    this.#server.on('connection', (socket) => equipment.onConnection(socket))
  }

  async start(): Promise<{ readonly url: string; readonly port: number }> {
    const { host = '127.0.0.1', port = 0 } = this.#options
    this.#server.listen({ host, port, backlog: LISTEN_BACKLOG })
    await once(this.#server, 'listening')
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('not listening on TCP')
    return { url: `http://${host}:${address.port}`, port: address.port }
  }

  /** Cuts running answers, which may stall for ever on purpose. */
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
