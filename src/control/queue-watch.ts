import type { Logger } from '../observe/logger.ts'
import type { BudgetState } from './budget.ts'

/** As often as somebody who reads the log can make use of. */
const PERIOD_MS = 10_000

/** Says at a steady low rate how the budget is used, while requests wait for a connection. */
export class QueueWatch {
  readonly #timer: NodeJS.Timeout

  constructor(state: () => BudgetState, log: Pick<Logger, 'warn'>, periodMs = PERIOD_MS) {
    this.#timer = setInterval(() => {
      const { waiting, maxConnections, unleased, members } = state()
      if (waiting === 0) return
      log.warn({ waiting, maxConnections, unleased, members }, 'requests wait for a connection')
    }, periodMs)
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
