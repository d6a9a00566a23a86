import { createServer, type Socket } from 'node:net'
import type { Chance } from './chance.ts'
import { EngineData, type EngineSnapshot, type Reply } from './engine-data.ts'
import { ENGINE_PORT } from './fleet-plan.ts'
import type { Actor, World } from './world.ts'

/** What a restart of Valkey finds: everything, what its disk had some time ago, or nothing. */
export type Kept = 'all' | 'older' | 'nothing'

/** Between two states that a disk, or a replica, has. */
const SNAPSHOT_MS = 20_000
const MOST_SNAPSHOTS = 3

/** Valkey as a process of the world: speaks RESP 2, knows the commands and scripts of a fleet, and can forget. */
export class WorldEngine {
  actor: Actor
  readonly #world: World
  readonly #data: EngineData
  readonly #listeners = new Map<Socket, Set<string>>()
  readonly #sockets = new Set<Socket>()
  /** Newest last. Bounded by MOST_SNAPSHOTS. */
  #snapshots: EngineSnapshot[] = []
  #runs = 1
  /** Begins the process that is due; `null` while one runs. */
  #begin: (() => void) | null = null

  constructor(world: World) {
    this.#world = world
    this.actor = world.spawn('valkey')
    this.#data = new EngineData(runName(this.#runs), {
      now: () => this.#world.as(this.actor, () => Date.now()),
      onPublish: (channel, message) => this.#tellAll(channel, message)
    })
  }

  start(): void {
    this.#world.as(this.actor, () => {
      const server = createServer((socket) => this.#serve(socket))
      server.listen(ENGINE_PORT, '127.0.0.1')
      setInterval(() => {
        this.#snapshots = [...this.#snapshots, this.#data.snapshot()].slice(-MOST_SNAPSHOTS)
      }, SNAPSHOT_MS)
    })
  }

  /** Its process ends now, and another one takes its place after so long. Returns what that one will find. */
  restart(kept: Kept, downMs: number, chance: Chance): void {
    const older = this.#snapshots.length === 0 ? new Map() : chance.pick(this.#snapshots)
    const found = kept === 'all' ? this.#data.snapshot() : kept === 'older' ? older : new Map()
    this.#world.end(this.actor)
    this.#listeners.clear()
    this.#sockets.clear()
    this.#snapshots = []
    this.#runs += 1
    this.actor = this.#world.spawn('valkey')
    this.#begin = () => {
      this.#begin = null
      this.#data.begin(runName(this.#runs), found)
      this.#world.note(`begins as run ${this.#runs} and has ${kept}`)
      this.start()
    }
    this.#world.after(downMs, () => this.beginNow(), { actor: this.actor })
  }

  /** The next process takes its place at once, if one is due. */
  beginNow(): void {
    this.#world.as(this.actor, () => this.#begin?.())
  }

  /** As FLUSHALL: the process goes on. */
  flush(): void {
    this.#data.flush()
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    let rest: Buffer = Buffer.alloc(0)
    socket
      .on('data', (chunk: Buffer) => {
        rest = Buffer.concat([rest, chunk])
        for (;;) {
          const found = commandIn(rest)
          if (found === null) return
          rest = rest.subarray(found.bytes)
          this.#answer(socket, found.words)
        }
      })
      .on('error', () => {}) // its close follows
      .once('close', () => {
        this.#sockets.delete(socket)
        this.#listeners.delete(socket)
      })
  }

  #answer(socket: Socket, words: readonly string[]): void {
    const [name = '', ...channels] = words
    if (name.toLowerCase() !== 'subscribe') return void socket.write(encode(this.#data.call(words)))
    const heard = this.#listeners.get(socket) ?? new Set()
    this.#listeners.set(socket, heard)
    for (const channel of channels) {
      heard.add(channel)
      socket.write(encode(['subscribe', channel, heard.size]))
    }
  }

  #tellAll(channel: string, message: string): void {
    for (const [socket, channels] of this.#listeners)
      if (channels.has(channel)) socket.write(encode(['message', channel, message]))
  }
}

function runName(run: number): string {
  return String(run).padStart(40, '0')
}

interface Command {
  readonly words: readonly string[]
  readonly bytes: number
}

const LINE_END = '\r\n'

/** Reads the first command, an array of bulk strings; `null` if it has not come whole. */
function commandIn(bytes: Buffer): Command | null {
  let at = 0
  const line = (): string | null => {
    const end = bytes.indexOf(LINE_END, at)
    if (end < 0) return null
    const text = bytes.toString('latin1', at, end)
    at = end + LINE_END.length
    return text
  }
  const count = line()
  if (count === null) return null
  const words: string[] = []
  for (let left = Number(count.slice(1)); left > 0; left -= 1) {
    const length = line()
    if (length === null) return null
    const end = at + Number(length.slice(1))
    if (bytes.length < end + LINE_END.length) return null
    words.push(bytes.toString('utf8', at, end))
    at = end + LINE_END.length
  }
  return { words, bytes: at }
}

function encode(reply: Reply): string {
  if (reply === null) return '$-1\r\n'
  if (typeof reply === 'number') return `:${Math.trunc(reply)}\r\n`
  if (typeof reply === 'string') return `$${Buffer.byteLength(reply)}\r\n${reply}\r\n`
  if ('status' in reply) return `+${reply.status}\r\n`
  if ('error' in reply) return `-${reply.error}\r\n`
  return `*${reply.length}\r\n${reply.map(encode).join('')}`
}
