import type { ToPrimary } from '../../ipc/channel.ts'
import { type ItemProblem, MAX_ITEMS_WANTED } from '../../ipc/fleet-items.ts'
import type { PrimaryPulse } from '../primary/primary-pulse.ts'

export interface ItemsElsewhereOptions {
  readonly channel: ToPrimary
  readonly pulse: Pick<PrimaryPulse, 'ask'>
  readonly patienceMs?: number
}

/** Longer than the primary waits for Valkey. */
const PATIENCE_MS = 3_000
/** Delays of further tries: an answer may be referred to before its gateway has shared it. */
const AGAIN_AFTER_MS = [100, 200, 400, 800] as const
const MAX_FRESH = 4

/** Fetches answers stored by other gateways of the fleet: the primary writes them where this worker looks. */
export class ItemsElsewhere {
  readonly #options: ItemsElsewhereOptions

  constructor(options: ItemsElsewhereOptions) {
    this.#options = options
  }

  share(name: string): void {
    this.#options.channel.send({ type: 'items.made', name })
  }

  /** Says why some files may be missing; `isThere` finds which still are. Never rejects. */
  async fetch(
    names: readonly string[],
    stillMissing: () => Promise<readonly string[]>
  ): Promise<ItemProblem | null> {
    let problem = await this.#ask(names)
    if (names.length > MAX_FRESH) return problem
    for (const pauseMs of AGAIN_AFTER_MS) {
      if (problem !== null) return problem
      const missing = await stillMissing()
      if (missing.length === 0) return null
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
      problem = await this.#ask(missing)
    }
    return problem
  }

  async #ask(names: readonly string[]): Promise<ItemProblem | null> {
    const { pulse, patienceMs = PATIENCE_MS } = this.#options
    const wanted = names.slice(-MAX_ITEMS_WANTED) // the newest, where there are more
    const question = { type: 'items.wanted', names: wanted } as const
    return pulse.ask(question, AbortSignal.timeout(patienceMs)).catch(() => 'valkey')
  }
}
