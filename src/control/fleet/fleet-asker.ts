import type { FleetCore } from '../../fleet/fleet-core.ts'
import type { FleetAnswer, FleetQuestion } from '../../fleet/fleet-store.ts'
import type { ValkeyStore } from '../../fleet/valkey-store.ts'
import type { Logger } from '../../observe/logger.ts'
import { instantNow } from '../../shared/elapsed.ts'

export interface FleetAskerOptions {
  readonly store: () => Pick<ValkeyStore, 'read' | 'cas' | 'beat'> | null
  /** Stores what the next process of this replica must know. Rejects if the disk fails. */
  readonly remember: (core: FleetCore) => Promise<void>
  readonly onHeard: () => void
  readonly log: Pick<Logger, 'debug' | 'error'>
}

export class FleetAsker {
  readonly #options: FleetAskerOptions
  #isUnwritten = false

  constructor(options: FleetAskerOptions) {
    this.#options = options
  }

  /** Resolves when the core has an answer or knows that none comes, and the disk has what was learnt. Never rejects. */
  async ask(core: FleetCore, question: FleetQuestion): Promise<void> {
    let answer: FleetAnswer
    try {
      answer = await this.#answer(question)
    } catch (err) {
      core.onUnknown(instantNow())
      const asked = question.type
      this.#options.log.debug({ err, asked }, "the fleet's Valkey did not answer")
      return
    }
    core.onAnswer(answer, instantNow())
    this.#options.onHeard()
    await this.remember(core) // by now the next question may be out
  }

  async remember(core: FleetCore): Promise<void> {
    try {
      await this.#options.remember(core)
      this.#isUnwritten = false
    } catch (err) {
      if (!this.#isUnwritten) this.#options.log.error({ err }, UNWRITTEN)
      this.#isUnwritten = true
    }
  }

  async #answer(question: FleetQuestion): Promise<FleetAnswer> {
    const store = this.#options.store()
    if (store === null) throw new Error('no Valkey')
    switch (question.type) {
      case 'read':
        return { type: 'read', reading: await store.read() }
      case 'beat':
        return { type: 'beat', answer: await store.beat(question.beat) }
      case 'cas':
        return { type: 'cas', answer: await store.cas(question.proposal) }
    }
  }
}

const UNWRITTEN = 'STATE_DIR cannot be written: the next process would not know about this one'
