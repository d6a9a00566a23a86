import cluster from 'node:cluster'
import { Server } from 'node:http'
import { Socket } from 'node:net'
import { isMainThread } from 'node:worker_threads'

/**
 * Faults for a soak to find, put into a gateway's processes by `--import=…/leaks.ts?of=memory,timers`: what a change could
 * forget to give back with each request.
 */

const KEPT_BYTES = 256 * 1024
const STALL_MS = 400
const STALL_AT = 40
/** One of so many is not given back, not counted. */
const LOST_EACH = 15

const leaks: Readonly<Record<string, (kept: unknown[], requests: number) => void>> = {
  memory: (kept) => void kept.push(Buffer.alloc(KEPT_BYTES, 1)),
  timers: () => void setTimeout(() => {}, 2 ** 30).unref(),
  listeners: () => void process.setMaxListeners(0).on('never', () => {}),
  sockets: (kept) => void kept.push(new Socket()),
  stall: (_, requests) => {
    if (requests % STALL_AT !== 0) return
    // Of work: where cores are busy, that takes longer.
    const start = process.threadCpuUsage()
    for (let ms = 0; ms < STALL_MS; ) {
      const { user, system } = process.threadCpuUsage(start)
      ms = (user + system) / 1000
    }
  }
}

const names = new URL(import.meta.url).searchParams.get('of')?.split(',') ?? []
if (isMainThread && cluster.isWorker) {
  leakWithRequests(names.filter((name) => name in leaks))
  if (names.includes('permits')) await losePermits()
} else if (isMainThread && names.includes('counters')) await loseCounts()

function leakWithRequests(chosen: readonly string[]): void {
  const kept: unknown[] = []
  let requests = 0
  around(Server.prototype, 'emit', (emit, [name]) => {
    if (name === 'request') {
      requests += 1
      for (const leak of chosen) leaks[leak]?.(kept, requests)
    }
    return emit()
  })
}

async function losePermits(): Promise<void> {
  const { Permit } = await import('../../src/admission/lease.ts')
  const lost = new WeakSet<object>()
  let released = 0
  around(Permit.prototype, 'release', (release, _, permit) => {
    if (!lost.has(permit) && ++released % LOST_EACH === 0) lost.add(permit)
    if (!lost.has(permit)) release()
  })
}

async function loseCounts(): Promise<void> {
  const { TurnCounts } = await import('../../src/control/usage/turn-counts.ts')
  let added = 0
  around(TurnCounts.prototype, 'add', (add) => {
    if (++added % LOST_EACH !== 0) add()
  })
}

type Around = (call: () => unknown, args: readonly unknown[], self: object) => unknown

/** Puts `work` around a method, which it calls or does not. */
function around(prototype: object, name: string, work: Around): void {
  const method: (...args: unknown[]) => unknown = Reflect.get(prototype, name)
  Reflect.set(prototype, name, function (this: object, ...args: unknown[]) {
    return work(() => Reflect.apply(method, this, args), args, this)
  })
}
