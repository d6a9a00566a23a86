import {
  type ItemNews,
  type ItemProblem,
  type ItemsTold,
  MAX_ITEMS_WANTED
} from '../../ipc/fleet-items.ts'
import { Channel, type Endpoint, Pending } from '../../ipc/channel.ts'

export interface ItemsElsewhereOptions {
  /** To the primary. */
  readonly endpoint: Endpoint
  /** Aborts while the primary hangs. */
  readonly silence: () => AbortSignal
  readonly patienceMs?: number
}

/** Longer than the primary waits for the engine. */
const PATIENCE_MS = 3_000
/** An answer may be referred to before the gateway that made it has shared it: soon after, or later on a busy machine. */
const AGAIN_AFTER_MS = [100, 200, 400, 800] as const
/** Most missing items for which a fresh one may be awaited. */
const MAX_FRESH = 4

/** A worker's way to the stored answers of the other gateways of its fleet: the primary writes them where it looks. */
export class ItemsElsewhere {
  readonly #options: ItemsElsewhereOptions
  readonly #channel: Channel<ItemsTold, ItemNews>
  /** Bounded by the requests that ask. */
  readonly #pending = new Pending<ItemProblem | null>()

  constructor(options: ItemsElsewhereOptions) {
    this.#options = options
    this.#channel = new Channel(options.endpoint)
    this.#channel.onMessage((message) => {
      if (message.type === 'items.told') this.#pending.answer(message.requestId, message.problem)
    })
  }

  /** Others may want it, too. Waits for nothing. */
  share(name: string): void {
    this.#channel.send({ type: 'items.made', name })
  }

  /**
   * Has those that others have of these files written here; tells why that may not be all. `isThere` finds out which are still
   * missing. Never rejects.
   */
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
    const { silence, patienceMs = PATIENCE_MS } = this.#options
    const wanted = names.slice(-MAX_ITEMS_WANTED) // the newest, where there are more
    const ends = AbortSignal.any([silence(), AbortSignal.timeout(patienceMs)])
    try {
      return await this.#pending.ask(
        (requestId) => this.#channel.send({ type: 'items.wanted', requestId, names: wanted }),
        ends
      )
    } catch {
      return 'engine'
    }
  }
}
