import type { Worker } from 'node:cluster'
import cluster from 'node:cluster'
import crypto from 'node:crypto'
import http from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'
import { DatabaseSync } from 'node:sqlite'
import { type Context, Script } from 'node:vm'
import perfHooks from 'node:perf_hooks'
import net, { Server, type TcpNetConnectOpts } from 'node:net'
import { type Disk, installFiles } from './files.ts'
import { type Network, WorldSocket } from './network.ts'
import { replace } from './replace.ts'
import { installThreads, type Threads } from './threads.ts'
import { TIMER_MODULES, virtualTimers } from './virtual-timers.ts'
import type { World } from './world.ts'

/** The machine runs since so long, seconds. */
const UP_S = 86_400

export interface PlatformOptions {
  readonly world: World
  readonly network: Network
  readonly threads: Threads
  readonly disk: Disk
  /** Epoch ms of the world's first moment, for clocks on the wall. */
  readonly beginsAt: number
  /** Starts a process of the primary's. */
  readonly fork: () => Worker
}

/**
 * Puts a world in the place of what Node offers: clock, timers, randomness, TCP, child processes, files and meters. Whoever imports
 * them gets the world's, the gateway's own code as well as libraries, so that none of it knows. Has to come before the first
 * import of what it shall hold for, and holds to the end of the process.
 */
export function installPlatform(options: PlatformOptions): void {
  const { world, network, threads, disk, beginsAt, fork } = options
  installClock(world, beginsAt)
  installMeters(world)
  installTimers(world)
  installRandomness(world)
  installNetwork(network)
  installFiles(network, disk)
  installThreads(threads)
  installDatabases(world)
  installMachine(world)
  replace(cluster, { fork, setupPrimary: () => {} })
  Object.defineProperty(process, 'pid', { get: () => world.actor.pid, configurable: true })
  syncBuiltinESMExports()
}

function installClock(world: World, beginsAt: number): void {
  const RealDate = Date
  const now = (): number => Math.floor(beginsAt + world.now + world.actor.host.wallOffsetMs)
  const VirtualDate = new Proxy(RealDate, {
    construct: (target, args: unknown[], newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as object,
    get: (target, name) => (name === 'now' ? now : (Reflect.get(target, name) as unknown))
  })
  const hrtime = Object.assign(
    (): [number, number] => [Math.floor(world.now / 1e3), Math.floor((world.now % 1e3) * 1e6)],
    { bigint: (): bigint => BigInt(Math.floor(world.now * 1e6)) }
  )
  replace(globalThis, { Date: VirtualDate })
  replace(performance, { now: () => world.now })
  replace(process, { hrtime, uptime: () => world.now / 1e3 })
}

/** Part of a CPU that every process seems to need. */
const CPU_PART = 0.05
const HELD_BYTES = 64 * 2 ** 20

function usageOf(ms: number, before?: { readonly user: number }): NodeJS.CpuUsage {
  return { user: Math.round(ms * 1e3) - (before?.user ?? 0), system: 0 }
}

/** The gateway decides by what it needs of the machine, so that has to be the same in each run. */
function installMeters(world: World): void {
  const cpuUsage = (before?: { readonly user: number }): NodeJS.CpuUsage =>
    usageOf(world.now * CPU_PART, before)
  const threadCpuUsage = (before?: { readonly user: number }): NodeJS.CpuUsage =>
    usageOf(world.actor.cpuMs?.() ?? world.now * CPU_PART, before)
  const held = {
    rss: 2 * HELD_BYTES,
    heapTotal: HELD_BYTES,
    heapUsed: HELD_BYTES,
    external: HELD_BYTES,
    arrayBuffers: HELD_BYTES
  }
  const memoryUsage = Object.assign(() => held, { rss: () => held.rss })
  // A real one would measure the machine that the world is computed on.
  const noDelay = {
    enable: () => true,
    disable: () => true,
    reset: () => {},
    percentile: () => 0,
    max: 0
  }
  replace(perfHooks, { monitorEventLoopDelay: () => noDelay })
  const active = (): number => world.now * CPU_PART
  replace(process, { cpuUsage, threadCpuUsage, memoryUsage })
  replace(performance, {
    eventLoopUtilization: () => ({
      idle: world.now - active(),
      active: active(),
      utilization: CPU_PART
    })
  })
}

/** Nothing is interrupted after real time, and the world's process keeps its priority. */
function installMachine(world: World): void {
  const runInContext = Reflect.get(Script.prototype, 'runInContext') as (context: Context) => void
  replace(Script.prototype, {
    runInContext(this: Script, context: Context): unknown {
      return Reflect.apply(runInContext, this, [context])
    }
  })
  const kill = (pid: number, signal: unknown): boolean => {
    if (signal !== 0) throw new Error('processes of the world are ended by the world')
    if (world.hasProcess(pid)) return true
    throw Object.assign(new Error('kill ESRCH'), { code: 'ESRCH', syscall: 'kill' })
  }
  replace(process, { kill })
  replace(os, {
    setPriority: () => {},
    hostname: () => 'world',
    uptime: () => UP_S + world.now / 1e3
  })
}

/** The kernel closes what a process has open when it is gone, with all of its locks. */
function installDatabases(world: World): void {
  const known = new WeakSet<DatabaseSync>()
  const own = (database: DatabaseSync): void => {
    if (known.has(database)) return
    known.add(database)
    world.actor.onGone.add(() => {
      if (database.isOpen) database.close()
    })
  }
  // Nothing is locked before the first of these, and Node does not let its class be replaced.
  for (const name of ['exec', 'prepare'] as const) {
    const real = Reflect.get(DatabaseSync.prototype, name) as (...args: unknown[]) => unknown
    replace(DatabaseSync.prototype, {
      [name](this: DatabaseSync, ...args: unknown[]): unknown {
        own(this)
        return Reflect.apply(real, this, args)
      }
    })
  }
}

function installTimers(world: World): void {
  const { promises, timeoutSignal, ...virtual } = virtualTimers(world)
  replace(globalThis, virtual)
  replace(TIMER_MODULES.timers, virtual)
  replace(TIMER_MODULES.timersPromises, promises)
  replace(AbortSignal, { timeout: timeoutSignal })
}

/** All chance is the seed's, so that ids and jitter are the same in each run. Not for secrets of the real world. */
function installRandomness(world: World): void {
  const fill = <T extends NodeJS.ArrayBufferView>(view: T): T => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    for (let i = 0; i < bytes.length; i += 1) bytes[i] = Math.floor(world.random() * 256)
    return view
  }
  const randomBytes = (size: number): Buffer => fill(Buffer.alloc(size))
  const randomInt = (from: number, to?: number): number => {
    const [least, end] = to === undefined ? [0, from] : [from, to]
    return least + Math.floor(world.random() * (end - least))
  }
  const randomUUID = (): string => {
    const hex = randomBytes(16).toString('hex')
    const parts = [
      hex.slice(0, 8),
      hex.slice(8, 12),
      `4${hex.slice(13, 16)}`,
      `8${hex.slice(17, 20)}`
    ]
    return [...parts, hex.slice(20)].join('-')
  }
  replace(Math, { random: world.random })
  replace(crypto, { randomBytes, randomInt, randomUUID, randomFillSync: fill })
  replace(globalThis.crypto, { randomUUID, getRandomValues: fill })
}

function installNetwork(network: Network): void {
  const connect = (...args: readonly unknown[]): WorldSocket => {
    const [first, second] = args
    const options = typeof first === 'object' ? first : { port: first, host: second }
    const socket = new WorldSocket(network)
    const last = args.at(-1)
    if (typeof last === 'function') socket.once('connect', () => Reflect.apply(last, socket, []))
    return socket.connectTo(options as TcpNetConnectOpts)
  }
  replace(net, { connect, createConnection: connect })
  replace(http.Agent.prototype, { createConnection: connect })
  replace(Server.prototype, {
    listen(this: Server, ...args: readonly unknown[]): Server {
      const [first, second] = args
      const given = typeof first === 'object' ? first : { port: first, host: second }
      const last = args.at(-1)
      if (typeof last === 'function') this.once('listening', () => Reflect.apply(last, this, []))
      const { port, host } = given as { readonly port?: number; readonly host?: string }
      const begin = Reflect.get(this, '_listen2') as (...args: readonly unknown[]) => void
      Reflect.apply(begin, this, [host, port ?? 0])
      return this
    },
    _listen2(this: Server, _host: unknown, port: number): void {
      const { world } = network
      const listening = network.listen(port, this)
      const handle = {
        close: () => network.unlisten(listening),
        getsockname: (out: object) =>
          void Object.assign(out, { address: '127.0.0.1', family: 'IPv4', port: listening.port }),
        ref: () => {},
        unref: () => {}
      }
      Reflect.set(this, '_handle', handle)
      world.after(0, () => {
        if (Reflect.get(this, '_handle') !== handle) return
        this.emit('listening')
        stopRealTimers(this)
      })
    }
  })
}

/** Node's HTTP server looks for late headers with a timer of its own, out of reach; clients of the world send theirs at once. */
function stopRealTimers(server: Server): void {
  for (const symbol of Object.getOwnPropertySymbols(server)) {
    if (symbol.description !== 'http.server.connectionsCheckingInterval') continue
    realClearInterval(Reflect.get(server, symbol) as NodeJS.Timeout)
  }
}

const realClearInterval = clearInterval
