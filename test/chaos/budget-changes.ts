import { setTimeout as delay } from 'node:timers/promises'
import type { ChaosGateway } from './chaos-gateway.ts'
import { type PoolSize, usableOf } from './pool-size.ts'
import type { Subprocess } from '../helper/subprocess.ts'
import type { UpstreamFacts, UpstreamQuestion } from './upstream.ts'

/** What idles too much after a change has this long to go. */
const SETTLE_MS = 100

/** Changes the budget while it is used, and keeps the upstream informed of what was promised. */
export class BudgetChanges {
  readonly #upstream: Subprocess<UpstreamQuestion, UpstreamFacts>
  #size: PoolSize
  #usable: number
  #count = 0
  #longestMs = 0

  constructor(upstream: Subprocess<UpstreamQuestion, UpstreamFacts>, size: PoolSize) {
    this.#upstream = upstream
    this.#size = size
    this.#usable = usableOf(size)
  }

  get size(): PoolSize {
    return this.#size
  }

  /** Permits that requests may have at the moment; the smaller figure while the budget is changed. */
  get usable(): number {
    return this.#usable
  }

  /** Changes so far. */
  get count(): number {
    return this.#count
  }

  /** Longest time from a change to leases that fit it. */
  get longestMs(): number {
    return this.#longestMs
  }

  /** Tells the upstream what is promised now. */
  promise({ connections, idle }: PoolSize = this.#size): Promise<UpstreamFacts> {
    return this.#upstream.ask({ type: 'ceilings', ceilings: { connections, idle } })
  }

  /**
   * The upstream holds the larger of two budgets against the gateway from before the change until the gateway
   * itself says that its leases fit the new one, and the new one from then on.
   */
  async change(gateway: ChaosGateway, next: PoolSize): Promise<void> {
    const before = this.#size
    await this.promise({
      ...next,
      connections: Math.max(before.connections, next.connections),
      idle: Math.max(before.idle, next.idle)
    })
    this.#usable = Math.min(usableOf(before), usableOf(next))
    await gateway.resize(next)
    this.#size = next
    this.#count += 1
    const startedAt = performance.now()
    await gateway.until(({ leased }) => leased <= next.connections)
    this.#longestMs = Math.max(this.#longestMs, performance.now() - startedAt)
    await delay(SETTLE_MS)
    await this.promise(next)
    this.#usable = usableOf(next)
  }
}
