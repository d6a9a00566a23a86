import { createServer } from 'node:http'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Socket } from 'node:net'
import { ConnectionCensus } from '../strict-simulator/connection-census.ts'
import { RequestRate } from '../strict-simulator/request-rate.ts'
import { StrictUpstream } from '../strict-simulator/strict-upstream.ts'
import { Chance } from './chance.ts'
import { UPSTREAM_PORT } from './gateway.ts'
import { WorldSocket } from './network.ts'
import { lastAskIn } from './touches.ts'
import type { Actor, World } from './world.ts'

/** The whole body of a renewal. */
const REFRESH = /^\{"refreshToken":"([^"]+)"\}$/

const INVOCATION = 'amz-sdk-invocation-id'

interface Asked {
  id: number | null
  readonly invocation: unknown
}

/** In most worlds a connection stays until the gateway closes it. */
const IDLE_MS = [null, null, 300, 3_000]

/** The strict simulator as a process of the world; counts connections as the real upstream would. */
export class WorldUpstream {
  readonly actor: Actor
  /** Sockets that serve a request now. */
  readonly busy = new Set<Socket>()
  readonly open = new Set<Socket>()
  requests = 0
  /** Called with the number of each question, and the id by which the upstream knows one that is sent again. */
  onAsked: (ask: number, invocation: unknown) => void = () => {}
  /** Called when a question is over, with the virtual ms that the upstream was busy with it. */
  onOver: (ask: number, busyMs: number) => void = () => {}
  /** Called with each refresh token that is presented. */
  onPresented: (token: string) => void = () => {}
  /** Called with the credits of each answer that was metered. */
  onMetered: (ask: number, credits: number) => void = () => {}
  /** Counts all but those whose other end cannot be heard any more: nobody could know of their end. */
  reachable(sockets: ReadonlySet<Socket>): number {
    let count = 0
    for (const socket of sockets)
      if (!(socket instanceof WorldSocket && socket.isCutOff)) count += 1
    return count
  }

  readonly #world: World
  readonly #tokenLifetimeS: number | null
  /** After so long it closes what nobody asks on, and has not said so; `null` if never. */
  readonly #idleMs: number | null
  /** How many requests there were when the last answer on a connection ended. */
  readonly #lastAnswers = new WeakMap<Socket, number>()

  /** `tokenLifetimeS`: for access tokens that it issues. */
  constructor(world: World, tokenLifetimeS: number | null) {
    this.#world = world
    this.#tokenLifetimeS = tokenLifetimeS
    this.#idleMs = Chance.for(world.seed, 'upstream').pick(IDLE_MS)
    this.actor = world.spawn('upstream')
  }

  start(): void {
    this.#world.as(this.actor, () => this.#listen())
  }

  #listen(): void {
    const onBody = (text: string): void => {
      const presented = REFRESH.exec(text)?.[1]
      if (presented !== undefined) return this.onPresented(presented)
      const id = lastAskIn(text)
      if (id === null) return
      this.#world.note(`is asked ask-${id}`)
      const asked = current.getStore()
      if (asked !== undefined) asked.id = id
      this.onAsked(id, asked?.invocation)
    }
    const current = new AsyncLocalStorage<Asked>()
    const census = new ConnectionCensus()
    const rate = new RequestRate(null, Date.now)
    const lifetime = this.#tokenLifetimeS === null ? {} : { tokenLifetimeS: this.#tokenLifetimeS }
    const upstream = new StrictUpstream({ onBody, ...lifetime }, census, rate)
    const meter = upstream.account.meter.bind(upstream.account)
    upstream.account.meter = (credits) => {
      const id = current.getStore()?.id ?? null
      if (id !== null) this.onMetered(id, credits)
      meter(credits)
    }
    const server = createServer((request, response) => {
      const { socket } = request
      this.requests += 1
      this.busy.add(socket)
      const asked: Asked = { id: null, invocation: request.headers[INVOCATION] }
      const begunAt = this.#world.now
      response.once('close', () => {
        this.busy.delete(socket)
        this.#closeIfIdle(socket)
        if (asked.id !== null) this.onOver(asked.id, this.#world.now - begunAt)
      })
      void current.run(asked, () => upstream.handle(request, response)) // rejects only for a bug, which must be seen
    })
    server.keepAliveTimeout = 600_000
    server.on('connection', (socket) => {
      census.accept(socket)
      this.open.add(socket)
      this.#world.note(`accepts :${socket.remotePort} and has ${this.open.size} connections`)
      socket.once('close', () => {
        this.open.delete(socket)
        this.busy.delete(socket)
        this.#world.note(`has closed :${socket.remotePort} and has ${this.open.size} connections`)
      })
    })
    server.listen(UPSTREAM_PORT, '127.0.0.1')
  }

  /** A load balancer's way: whoever asks on it meanwhile gets a reset. */
  #closeIfIdle(socket: Socket): void {
    if (this.#idleMs === null) return
    const { requests } = this
    this.#lastAnswers.set(socket, requests)
    const look = (): void => {
      if (this.#lastAnswers.get(socket) === requests && !this.busy.has(socket)) socket.destroy()
    }
    setTimeout(look, this.#idleMs).unref()
  }
}
