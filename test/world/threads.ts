import { EventEmitter } from 'node:events'
import workerThreads from 'node:worker_threads'
import { basename } from 'node:path'
import { replace } from './replace.ts'
import type { Actor, World } from './world.ts'

/** Ms until a thread runs. */
const START_MS = { from: 15, to: 60 }
/** Ms that a message takes. */
const MESSAGE_MS = { from: 0.02, to: 0.3 }
/** Ms that a thread needs to end. */
const END_MS = { from: 0.1, to: 5 }

/** Code of a thread: hears its parent at the port, and takes virtual time for what it does. */
export type ThreadBody = (port: WorldPort, thread: WorldThread) => void

/** Threads of all processes of a world, and what each file does that a thread may be started with. */
export class Threads {
  readonly world: World
  /** By the name of the thread's file. Set once the world has been put in place: these load code of the gateway. */
  bodies: Readonly<Record<string, ThreadBody>> = {}
  started = 0

  constructor(world: World) {
    this.world = world
  }
}

/** One end of a channel between two actors. Messages are copies, and arrive in order. */
export class WorldPort extends EventEmitter {
  readonly #world: World
  #owner: Actor
  #peer: WorldPort | null = null
  #lastArrivalAt = 0
  /** What has come before anybody listened. */
  readonly #early: unknown[] = []

  constructor(world: World, owner: Actor) {
    super()
    this.#world = world
    this.#owner = owner
    this.on('newListener', (name) => {
      if (name === 'message' && this.#early.length > 0)
        world.after(0, () => this.#deliver(), { actor: this.#owner })
    })
  }

  static pair(world: World, one: Actor, other: Actor): readonly [WorldPort, WorldPort] {
    const [near, far] = [new WorldPort(world, one), new WorldPort(world, other)]
    near.#peer = far
    far.#peer = near
    return [near, far]
  }

  postMessage(message: unknown, transfer: readonly unknown[] = []): void {
    const peer = this.#peer
    if (peer === null) return
    const copy = copyOf(message, transfer)
    const world = this.#world
    const soonest = world.now + world.between(MESSAGE_MS.from, MESSAGE_MS.to)
    this.#lastArrivalAt = Math.max(this.#lastArrivalAt, soonest)
    const arrive = (): void => {
      for (const port of transfer) if (port instanceof WorldPort) port.#owner = peer.#owner
      peer.#early.push(copy)
      peer.#deliver()
    }
    world.after(this.#lastArrivalAt - world.now, arrive, { actor: peer.#owner })
  }

  #deliver(): void {
    if (this.listenerCount('message') === 0) return
    for (const message of this.#early.splice(0)) this.emit('message', message)
  }

  /** What has been sent still arrives. */
  close(): void {
    this.#peer = null
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}

/** Ports move as they are; all else is copied as between real threads, and buffers are moved. */
function copyOf(message: unknown, transfer: readonly unknown[]): unknown {
  const buffers = transfer.filter((one) => one instanceof ArrayBuffer)
  if (buffers.length === transfer.length) return structuredClone(message, { transfer: buffers })
  const members = Object.entries(Object(message) as Readonly<Record<string, unknown>>)
  return Object.fromEntries(
    members.map(([name, value]) => [
      name,
      value instanceof WorldPort ? value : structuredClone(value)
    ])
  )
}

/** A thread as its process sees it: an actor of its own that ends with its process. */
export class WorldThread extends EventEmitter {
  readonly threadId: number
  readonly actor: Actor
  readonly #world: World
  readonly #parent: Actor
  readonly #port: WorldPort
  readonly #onExit = Promise.withResolvers<number>()
  #spentMs = 0
  /** Virtual ms since which it has been busy; `null` while it waits. */
  #busySince: number | null = null

  constructor({ world, bodies }: Threads, number: number, file: string | URL) {
    super()
    const name = basename(String(file))
    const body = bodies[name]
    if (body === undefined) throw new Error(`no thread of the world runs ${name}`)
    this.#world = world
    this.#parent = world.actor
    this.threadId = number
    this.actor = world.spawnThread(`${this.#parent.name}, thread ${number}`, this.#parent)
    this.actor.cpuMs = () => this.#cpuMs()
    const [near, far] = WorldPort.pair(world, this.#parent, this.actor)
    this.#port = near
    near.on('message', (message) => this.emit('message', message))
    const begin = (): void => body(far, this)
    world.after(world.between(START_MS.from, START_MS.to), begin, { actor: this.actor })
  }

  postMessage(message: unknown, transfer?: readonly unknown[]): void {
    this.#port.postMessage(message, transfer)
  }

  /** The thread works from now on; resolves after so much virtual time. `Infinity` never ends. */
  async work(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#busySince = this.#world.now
    if (ms !== Infinity) this.#world.after(ms, resolve)
    await promise
    this.#spentMs = this.#cpuMs()
    this.#busySince = null
  }

  terminate(): Promise<number> {
    const { from, to } = END_MS
    const end = (): void => this.exit(1)
    this.#world.after(this.#world.between(from, to), end, { actor: this.#parent })
    return this.#onExit.promise
  }

  /** Ends it now, whatever it does. */
  exit(code: number): void {
    if (this.actor.isGone) return
    this.#world.note(`ends with ${code}`, this.actor)
    this.#world.end(this.actor)
    this.emit('exit', code)
    this.#onExit.resolve(code)
  }

  async cpuUsage(): Promise<NodeJS.CpuUsage> {
    return { user: Math.round(this.#cpuMs() * 1e3), system: 0 }
  }

  async getHeapStatistics(): Promise<{ readonly external_memory: number }> {
    return { external_memory: 0 }
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  #cpuMs(): number {
    return this.#spentMs + (this.#busySince === null ? 0 : this.#world.now - this.#busySince)
  }
}

/** Has threads, and channels between them, be the world's. */
export function installThreads(threads: Threads): void {
  const { world } = threads
  class Worker extends WorldThread {
    constructor(file: string | URL) {
      super(threads, ++threads.started, file)
    }
  }
  class MessageChannel {
    readonly port1: WorldPort
    readonly port2: WorldPort

    constructor() {
      ;[this.port1, this.port2] = WorldPort.pair(world, world.actor, world.actor)
    }
  }
  replace(workerThreads, { Worker, MessageChannel, receiveMessageOnPort: () => undefined })
}
