import { closeSync, openSync, readdirSync, readSync } from 'node:fs'

/** Threads come and go: how many readings may pass until new ones are found. */
const READINGS_UNTIL_SEARCH = 50

interface Thread {
  readonly schedstat: number
  waitedMs: number
}

/** How long the threads of a process could have run and had no core, as Linux counts it. That is the machine's, not theirs. */
export class CoreWaits {
  readonly #folder: string
  readonly #threads = new Map<string, Thread>()
  readonly #text = Buffer.alloc(64)
  #readings = 0

  /** Of all threads of a process, or with `main` of its first alone. */
  constructor(pid: number, which: 'all' | 'main' = 'all') {
    this.#folder = `/proc/${pid}/task`
    if (which === 'main') {
      this.#add(String(pid))
      this.#readings = Number.NaN // never looks for others
    }
    this.takeLongestMs()
  }

  /** The longest that one of them has waited since the last call, in ms. */
  takeLongestMs(): number {
    if (this.#readings++ % READINGS_UNTIL_SEARCH === 0) this.#search()
    let longest = 0
    for (const [id, thread] of this.#threads) {
      const waitedMs = this.#read(thread.schedstat)
      if (waitedMs === null) {
        closeSync(thread.schedstat)
        this.#threads.delete(id)
        continue
      }
      longest = Math.max(longest, waitedMs - thread.waitedMs)
      thread.waitedMs = waitedMs
    }
    return longest
  }

  close(): void {
    for (const { schedstat } of this.#threads.values()) closeSync(schedstat)
    this.#threads.clear()
  }

  #search(): void {
    try {
      for (const id of readdirSync(this.#folder)) if (!this.#threads.has(id)) this.#add(id)
    } catch {
      // it has ended
    }
  }

  #add(id: string): void {
    try {
      const schedstat = openSync(`${this.#folder}/${id}/schedstat`, 'r')
      this.#threads.set(id, { schedstat, waitedMs: this.#read(schedstat) ?? 0 })
    } catch {
      // so has this one
    }
  }

  /** The second of three numbers; null for a thread that has ended. */
  #read(schedstat: number): number | null {
    try {
      const bytes = readSync(schedstat, this.#text, 0, this.#text.length, 0)
      return Number(this.#text.toString('latin1', 0, bytes).split(' ')[1]) / 1e6
    } catch {
      return null
    }
  }
}
