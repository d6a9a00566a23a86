import { readFileSync } from 'node:fs'

/**
 * Tells the time as the gateway has it: stands still while its worst process waits for a CPU that others use, since
 * nothing that takes several processes comes on meanwhile.
 */
export class GatewayClock {
  readonly #waitMsOf: (pid: number) => number
  #at = 0
  #lastNow = performance.now()
  #waits: ReadonlyMap<number, number> = new Map()

  /** `waitMsOf` gives what a process has waited for a CPU since it started, in milliseconds. */
  constructor(waitMsOf: (pid: number) => number = cpuWaitMs) {
    this.#waitMsOf = waitMsOf
  }

  /** Milliseconds since the clock was made, less those waits of the processes that were seen the last time, too. */
  read(pids: readonly number[], now = performance.now()): number {
    const waits = new Map(pids.map((pid) => [pid, this.#waitMsOf(pid)]))
    const waited = [...waits].map(([pid, ms]) => ms - (this.#waits.get(pid) ?? ms))
    this.#at += Math.max(0, now - this.#lastNow - Math.max(0, ...waited))
    this.#lastNow = now
    this.#waits = waits
    return this.#at
  }
}

/** Of the process' main thread, which has the event loop; 0 for a process that is gone. */
function cpuWaitMs(pid: number): number {
  try {
    const [, waitedNs] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')
    return Number(waitedNs) / 1e6
  } catch {
    return 0
  }
}
