import timers from 'node:timers'
import timersPromises from 'node:timers/promises'
import type { Due } from './event-queue.ts'
import type { Actor, World } from './world.ts'

/** Node fires longer delays at once. */
const LONGEST_MS = 2 ** 31 - 1

type Act = (...args: unknown[]) => void

/** What `setTimeout()` and `setInterval()` return. */
class VirtualTimeout {
  readonly #world: World
  readonly #actor: Actor
  readonly #delayMs: number
  readonly #due: Due

  constructor(world: World, act: () => void, options: { delayMs: number; isRepeated: boolean }) {
    const { delayMs, isRepeated } = options
    this.#world = world
    this.#actor = world.actor
    this.#delayMs = delayMs
    const onTime = isRepeated
      ? (): void => {
          this.refresh()
          act()
        }
      : act
    this.#due = world.after(delayMs, onTime, { kind: 'timer' })
  }

  cancel(): void {
    this.#actor.queue.remove(this.#due)
  }

  refresh(): this {
    this.#world.again(this.#due, this.#delayMs, this.#actor)
    return this
  }

  close(): this {
    this.cancel()
    return this
  }

  ref(): this {
    this.#due.isHolding = true
    return this
  }

  unref(): this {
    this.#due.isHolding = false
    return this
  }

  hasRef(): boolean {
    return this.#due.isHolding
  }

  [Symbol.dispose](): void {
    this.cancel()
  }
}

/** What `setImmediate()` returns: the actor's next turn. */
class VirtualImmediate {
  readonly #actor: Actor
  readonly #due: Due

  constructor(world: World, act: () => void) {
    this.#actor = world.actor
    this.#due = world.after(0, act, { kind: 'turn' })
  }

  cancel(): void {
    this.#actor.queue.remove(this.#due)
  }

  ref(): this {
    this.#due.isHolding = true
    return this
  }

  unref(): this {
    this.#due.isHolding = false
    return this
  }

  hasRef(): boolean {
    return this.#due.isHolding
  }

  [Symbol.dispose](): void {
    this.cancel()
  }
}

interface WaitOptions {
  readonly signal?: AbortSignal
  readonly ref?: boolean
}

function clear(timer: unknown): void {
  if (timer instanceof VirtualTimeout || timer instanceof VirtualImmediate) timer.cancel()
}

/** `setTimeout()` and all that is made of it, in the time of a world. Of whoever calls it; ends with them. */
export function virtualTimers(world: World) {
  const set = (act: Act, ms: unknown, args: unknown[], isRepeated: boolean): VirtualTimeout => {
    const given = Math.trunc(Number(ms))
    const delayMs = given >= 1 && given <= LONGEST_MS ? given : 1
    return new VirtualTimeout(world, () => act(...args), { delayMs, isRepeated })
  }
  const setTimeout = (act: Act, ms?: unknown, ...args: unknown[]) => set(act, ms, args, false)
  const setImmediate = (act: Act, ...args: unknown[]) =>
    new VirtualImmediate(world, () => act(...args))
  return {
    setTimeout,
    setInterval: (act: Act, ms?: unknown, ...args: unknown[]) => set(act, ms, args, true),
    setImmediate,
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
    promises: {
      setTimeout: <T>(ms: number, value?: T, options: WaitOptions = {}): Promise<T | undefined> =>
        wait((done) => setTimeout(done, ms), value, options),
      setImmediate: <T>(value?: T, options: WaitOptions = {}): Promise<T | undefined> =>
        wait((done) => setImmediate(done), value, options)
    },
    timeoutSignal: (ms: number): AbortSignal => {
      const abort = new AbortController()
      const reason = new DOMException('The operation was aborted due to timeout', 'TimeoutError')
      // Nobody can clear it, so that it is never one that was forgotten.
      world.after(ms, () => abort.abort(reason)).isHolding = false
      return abort.signal
    }
  }
}

async function wait<T>(
  begin: (done: () => void) => VirtualTimeout | VirtualImmediate,
  value: T,
  { signal, ref = true }: WaitOptions
): Promise<T> {
  if (signal?.aborted === true) throw abortError(signal)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = begin(resolve)
  if (!ref) timer.unref()
  const onAbort = (): void => {
    timer.cancel()
    if (signal !== undefined) reject(abortError(signal))
  }
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    await promise
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
  return value
}

function abortError({ reason }: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: reason })
  return Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' })
}

/** Where Node keeps its timers. */
export const TIMER_MODULES = { timers, timersPromises }
