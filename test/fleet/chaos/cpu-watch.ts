import { GatewayClock } from '../../chaos/gateway-clock.ts'

const LOOK_MS = 200

/** For how long the fleet did not get on, because a process of it waited for a CPU that others used. */
export class CpuWatch {
  readonly #clock = new GatewayClock()
  readonly #began = performance.now()
  readonly #timer: NodeJS.Timeout
  readonly #pids: () => readonly number[]

  constructor(pids: () => readonly number[]) {
    this.#pids = pids
    this.#clock.read(pids())
    this.#timer = setInterval(() => void this.#clock.read(pids()), LOOK_MS)
  }

  /** Milliseconds that were lost so far; looks no more. */
  end(): number {
    clearInterval(this.#timer)
    const now = performance.now()
    return now - this.#began - this.#clock.read(this.#pids(), now)
  }
}
