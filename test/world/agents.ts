import { setTimeout as delay } from 'node:timers/promises'
import { Chance } from './chance.ts'
import type { Character } from './character.ts'
import { type Ask, askGateway, type DialectName } from './client.ts'
import type { WorldGateway } from './gateway.ts'
import { takesPart } from './reproduce.ts'
import type { Rhythm } from './rhythm.ts'
import type { Rules } from './rules.ts'
import type { World } from './world.ts'

const DIALECTS: readonly DialectName[] = ['chat', 'messages', 'responses']
const WORDS = 'one two three four five six seven eight nine ten eleven twelve'.split(' ')

/** Characters of long conversations: below and above what is converted in a thread. */
const HISTORIES = [20_000, 60_000, 140_000, 300_000]

/** So many times longer is what a client is told that rests: it is more than systems hold that it has not read. */
const LONGER_FOR_THE_SLOW = 15

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

export interface AgentsOptions {
  readonly character: Character
  readonly rules: Rules
  readonly gateways: readonly WorldGateway[]
  readonly chosen: readonly number[] | null
  /** `null` for those who ask by night as by day. */
  readonly rhythm: Rhythm | null
}

/** Clients, each a process of its own, that ask one question after the other or several at once. */
export class Agents {
  readonly #world: World
  readonly #character: Character
  readonly #rules: Rules
  readonly #rhythm: Rhythm | null
  readonly #gateways: readonly WorldGateway[]
  #nextId = 0
  #areOver = false

  /** `chosen`: numbers of those that take part, which ask the same whoever else does; `null` for all. */
  constructor(world: World, { character, rules, gateways, chosen, rhythm }: AgentsOptions) {
    this.#world = world
    this.#character = character
    this.#rules = rules
    this.#gateways = gateways
    this.#rhythm = rhythm
    for (let agent = 1; agent <= character.agents; agent += 1) {
      if (!takesPart(chosen, agent)) continue
      const actor = world.spawn(`client ${agent}`)
      const chance = Chance.for(world.seed, `client ${agent}`)
      world.as(actor, () => void this.#live(chance).catch((error: Error) => world.fail(error)))
    }
  }

  /** They finish what they have asked, and ask no more. */
  end(): void {
    this.#areOver = true
  }

  async #live(chance: Chance): Promise<void> {
    while (!this.#areOver) {
      await delay(chance.pause(this.#character.thinkMs))
      if (this.#areOver) return
      if (!this.#isAwake(chance)) continue
      const atOnce = chance.isTrue(0.15) ? 2 + Math.floor(chance.random() * 6) : 1
      await Promise.all(Array.from({ length: atOnce }, () => this.#ask(chance)))
    }
  }

  #isAwake(chance: Chance): boolean {
    return this.#rhythm === null || chance.isTrue(this.#rhythm.activityAt(this.#world.now))
  }

  async #ask(chance: Chance): Promise<void> {
    const ask = this.#draw(chance)
    this.#rules.onAsk(ask)
    const outcome = await askGateway(this.#world, ask)
    this.#rules.onOutcome(ask, outcome)
  }

  /** As a proxy before a fleet does: any that serves. */
  #pickGateway(chance: Chance): WorldGateway {
    const [first] = this.#gateways
    if (first === undefined) throw new Error('there is no gateway')
    if (this.#gateways.length === 1) return first
    const number = Math.floor(chance.random() * this.#gateways.length)
    const [chosen = first, other = first] = [
      ...this.#gateways.slice(number),
      ...this.#gateways.slice(0, number)
    ]
    return chosen.isServing ? chosen : other
  }

  #draw(chance: Chance): Ask {
    const id = this.#nextId++
    const { keys } = this.#character
    const count = chance.pick([3, 10, 30, 120])
    const text = Array.from({ length: count }, () => chance.pick(WORDS)).join(' ')
    const isFault = chance.isTrue(this.#character.wishedFaults)
    const dialect = chance.pick(DIALECTS)
    const isStreamed = chance.isTrue(0.8)
    const ask = {
      id,
      port: this.#pickGateway(chance).port,
      dialect,
      isStreamed,
      isOnSocket: dialect === 'responses' && isStreamed && chance.isTrue(0.5),
      text: `${id}: ${text}.`,
      words: isFault ? chance.pick(WISHED_FAULTS) : chance.pick(PACES),
      isAtOnce: isFault && id % 2 === 0,
      key: keys.length === 0 ? null : Math.floor(chance.random() * keys.length),
      history: chance.isTrue(this.#character.longTalks) ? chance.pick(HISTORIES) : 0,
      leavesAfterMs: chance.isTrue(0.06) ? chance.between(0, 8_000) : null,
      restsMs: chance.isTrue(0.04) ? chance.between(100, 20_000) : 0
    }
    if (ask.restsMs === 0) return ask
    const long = Array.from({ length: LONGER_FOR_THE_SLOW }, () => text).join(' ')
    return { ...ask, text: `${id}: ${long}.` }
  }
}
