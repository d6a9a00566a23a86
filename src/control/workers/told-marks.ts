import type { WorkerChannel } from './worker-channel.ts'

type MarkedChannel = Pick<WorkerChannel, 'id' | 'member' | 'isServing' | 'send'>

interface Waiter {
  readonly mark: number
  /** By member, with their slots. Bounded by the workers. */
  readonly silent: Map<string, number>
  readonly onAll: () => void
}

/** A worker that has not answered by then hangs, or is very busy. */
const PATIENCE_MS = 5_000

/** Finds out which workers have applied all that they were told: a channel keeps the order of its messages. */
export class ToldMarks {
  readonly #channels: () => Iterable<MarkedChannel>
  readonly #patienceMs: number
  /** Bounded by the changes that wait, each for PATIENCE_MS. */
  readonly #waiters = new Set<Waiter>()
  #mark = 0

  constructor(channels: () => Iterable<MarkedChannel>, patienceMs = PATIENCE_MS) {
    this.#channels = channels
    this.#patienceMs = patienceMs
  }

  /** Resolves with the slots of workers that have not confirmed in time. A worker that starts is told the latest. */
  async settled(): Promise<readonly number[]> {
    const mark = ++this.#mark
    const { promise, resolve } = Promise.withResolvers<void>()
    const serving = [...this.#channels()].filter(({ isServing }) => isServing)
    const silent = new Map(serving.map(({ member, id }) => [member, id]))
    if (silent.size === 0) return []
    const waiter = { mark, silent, onAll: resolve }
    this.#waiters.add(waiter)
    const timer = setTimeout(resolve, this.#patienceMs)
    for (const channel of serving) channel.send({ type: 'told.mark', mark })
    await promise
    clearTimeout(timer)
    this.#waiters.delete(waiter)
    return [...new Set(silent.values())]
  }

  onMarked(member: string, mark: number): void {
    for (const waiter of this.#waiters) if (waiter.mark <= mark) confirm(waiter, member)
  }

  onLeft(member: string): void {
    for (const waiter of this.#waiters) confirm(waiter, member)
  }
}

function confirm({ silent, onAll }: Waiter, member: string): void {
  silent.delete(member)
  if (silent.size === 0) onAll()
}
