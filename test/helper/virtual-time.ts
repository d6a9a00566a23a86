import { AsyncLocalStorage } from 'node:async_hooks'

interface Timer {
  readonly owner: object | undefined
  readonly onTime: () => void
  readonly everyMs: number | null
  at: number
}

/**
 * Timers and `performance.now()` of a simulated world. What is set within `as(owner, …)` is the owner's: it stands still while
 * the owner does, and ends with it. Other code must not run meanwhile.
 */
export class VirtualTime {
  now = 0
  readonly #timers = new Set<Timer>()
  readonly #owner = new AsyncLocalStorage<object>()
  readonly #real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    setInterval: globalThis.setInterval,
    clearInterval: globalThis.clearInterval
  }

  install(): void {
    const set = (onTime: () => void, ms: number, everyMs: number | null): object => {
      const timer = { owner: this.#owner.getStore(), onTime, everyMs, at: this.now + ms }
      this.#timers.add(timer)
      const handle = { timer, ref: () => handle, unref: () => handle }
      return handle
    }
    const clear = (handle?: { readonly timer?: Timer } | null): void => {
      if (handle?.timer !== undefined) this.#timers.delete(handle.timer)
    }
    Object.assign(globalThis, {
      setTimeout: (onTime: () => void, ms = 1) => set(onTime, ms, null),
      setInterval: (onTime: () => void, ms = 1) => set(onTime, ms, ms),
      clearTimeout: clear,
      clearInterval: clear
    })
    Object.defineProperty(performance, 'now', { value: () => this.now, configurable: true })
  }

  remove(): void {
    Object.assign(globalThis, this.#real)
    Reflect.deleteProperty(performance, 'now')
  }

  as<T>(owner: object, act: () => T): T {
    return this.#owner.run(owner, act)
  }

  /** Time passes, and each timer that is due goes off; `isStill` says whose do not. */
  pass(ms: number, isStill: (owner: object) => boolean): void {
    const until = this.now + ms
    for (;;) {
      const due = [...this.#timers].filter(
        ({ at, owner }) => at <= until && (owner === undefined || !isStill(owner))
      )
      const [next] = due.toSorted((a, b) => a.at - b.at)
      if (next === undefined) break
      this.now = Math.max(this.now, next.at)
      if (next.everyMs === null) this.#timers.delete(next)
      else next.at = this.now + next.everyMs
      if (next.owner === undefined) next.onTime()
      else this.as(next.owner, next.onTime)
    }
    this.now = until
  }

  /** An owner is gone, and its timers with it. */
  end(owner: object): void {
    for (const timer of this.#timers) if (timer.owner === owner) this.#timers.delete(timer)
  }
}
