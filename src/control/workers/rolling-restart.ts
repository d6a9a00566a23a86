import type { Logger } from '../../observe/logger.ts'
import type { Supervisor } from './supervisor.ts'

export interface RollingRestartOptions {
  readonly supervisor: Pick<Supervisor, 'states' | 'replace'>
  readonly log: Pick<Logger, 'info' | 'error'>
}

/**
 * Gives every slot a new worker, one after another and without an interruption. There is one process more than usual
 * while it goes on, never two. It stops at the first new worker that does not come to serve: whatever kills that one
 * would kill the next, and the old ones still serve.
 */
export class RollingRestart {
  readonly #options: RollingRestartOptions
  #running: Promise<void> | null = null

  constructor(options: RollingRestartOptions) {
    this.#options = options
  }

  /** Never rejects. A call while it goes on joins in. */
  run(): Promise<void> {
    const { log } = this.#options
    if (this.#running !== null) log.info('rolling restart goes on already')
    this.#running ??= this.#replaceAll().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #replaceAll(): Promise<void> {
    const { supervisor, log } = this.#options
    log.info('rolling restart begins')
    for (const { id: worker } of supervisor.states()) {
      const outcome = await supervisor.replace(worker)
      switch (outcome.name) {
        case 'replaced':
          log.info({ worker }, 'worker replaced')
          break
        case 'failed': {
          const { reason } = outcome
          log.error({ worker, reason }, 'rolling restart stopped: the new worker did not serve')
          return
        }
        case 'drained':
          log.info('rolling restart stopped: the gateway ends')
          return
      }
    }
    log.info('rolling restart complete')
  }
}
