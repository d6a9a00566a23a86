import { setTimeout as delay } from 'node:timers/promises'
import type { Character } from './character.ts'
import { type Ask, askGateway, type DialectName } from './client.ts'
import type { Rules } from './rules.ts'
import type { World } from './world.ts'

const DIALECTS: readonly DialectName[] = ['chat', 'messages', 'responses']
const WORDS = 'one two three four five six seven eight nine ten eleven twelve'.split(' ')

/** Control words that change when an answer comes, and not what it says. */
const PACES = [
  '',
  '',
  '',
  'sim:gap=20',
  'sim:gap=0',
  'sim:gap=300',
  'sim:first=2000',
  'sim:chunk=7',
  'sim:headers=1500'
]
/** Faults of the upstream. None of them is about the account, which others would feel. */
export const WISHED_FAULTS = [
  'sim:reset',
  'sim:fin',
  'sim:exception-mid',
  'sim:error-mid',
  'sim:no-end',
  'sim:reset-first',
  'sim:flaky=1',
  'sim:stall',
  'sim:stall-first',
  'sim:stall-headers',
  'sim:corrupt',
  'sim:overloaded',
  'sim:unavailable'
]

/** Clients, each a process of its own, that ask one question after the other or several at once. */
export class Agents {
  readonly #world: World
  readonly #character: Character
  readonly #rules: Rules
  #nextId = 0
  #areOver = false

  constructor(world: World, character: Character, rules: Rules) {
    this.#world = world
    this.#character = character
    this.#rules = rules
    for (let agent = 1; agent <= character.agents; agent += 1) {
      const actor = world.spawn(`client ${agent}`)
      world.as(actor, () => void this.#live().catch((error: Error) => world.fail(error)))
    }
  }

  /** They finish what they have asked, and ask no more. */
  end(): void {
    this.#areOver = true
  }

  async #live(): Promise<void> {
    const world = this.#world
    while (!this.#areOver) {
      await delay(-Math.log(1 - world.random()) * this.#character.thinkMs)
      if (this.#areOver) return
      const atOnce = world.isTrue(0.15) ? 2 + Math.floor(world.random() * 6) : 1
      await Promise.all(Array.from({ length: atOnce }, () => this.#ask()))
    }
  }

  async #ask(): Promise<void> {
    const ask = this.#draw()
    this.#rules.onAsk(ask)
    const outcome = await askGateway(this.#world, ask)
    this.#rules.onOutcome(ask, outcome)
  }

  #draw(): Ask {
    const world = this.#world
    const id = this.#nextId++
    const count = world.pick([3, 10, 30, 120])
    const text = Array.from({ length: count }, () => world.pick(WORDS)).join(' ')
    const isFault = world.isTrue(this.#character.wishedFaults)
    return {
      id,
      dialect: world.pick(DIALECTS),
      isStreamed: world.isTrue(0.8),
      text: `${id}: ${text}.`,
      words: isFault ? world.pick(WISHED_FAULTS) : world.pick(PACES),
      leavesAfterMs: world.isTrue(0.06) ? world.between(0, 8_000) : null,
      restsMs: world.isTrue(0.04) ? world.between(100, 20_000) : 0
    }
  }
}
