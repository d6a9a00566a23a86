import { setTimeout as delay } from 'node:timers/promises'
import { Chance } from './chance.ts'
import type { Character } from './character.ts'
import { type Ask, askGateway, type DialectName, type Outcome, promptOf, saidOf } from './client.ts'
import type { WorldGateway } from './gateway.ts'
import { takesPart } from './reproduce.ts'
import type { Rhythm } from './rhythm.ts'
import type { Rules } from './rules.ts'
import { ClientSocket } from './socket-client.ts'
import { expectedCalls, type Turn } from './talk.ts'
import type { World } from './world.ts'

const DIALECTS: readonly DialectName[] = ['chat', 'messages', 'responses']
/** A line of a file that a tool has read. */
const FILE = 'What a file says, line by line, and more of the same.\n'
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

/** For a revoked key, and for a limit that is used up. */
const REFUSALS: readonly (number | null)[] = [401, 429]
/** The pause of a client that is refused again and again, doubled each time, ms. */
const BACKOFF_MS = { first: 1_000, last: 64_000 }

/** Part of the conversations in the Responses API that keep a WebSocket over their turns. */
const KEPT = 0.6

/** A conversation of an agent. */
interface Talk {
  readonly dialect: DialectName
  readonly before: Turn[]
  /** The WebSocket of all its turns, and their key; `null` if each is asked by itself. */
  readonly kept: ClientSocket | null
  readonly key: number | null
}

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
    for (let agent = 1; agent <= character.agents + character.talkers; agent += 1) {
      if (!takesPart(chosen, agent)) continue
      const actor = world.spawn(`client ${agent}`)
      const chance = Chance.for(world.seed, `client ${agent}`)
      const live = (): Promise<void> =>
        agent > character.agents ? this.#talk(chance) : this.#live(chance)
      world.as(actor, () => void live().catch((error: Error) => world.fail(error)))
    }
  }

  /** They finish what they have asked, and ask no more. */
  end(): void {
    this.#areOver = true
  }

  async #live(chance: Chance): Promise<void> {
    let backoff = 0
    while (!this.#areOver) {
      await delay(chance.pause(this.#character.thinkMs) + backoff)
      if (this.#areOver) return
      if (!this.#isAwake(chance)) continue
      const atOnce = chance.isTrue(0.15) ? 2 + Math.floor(chance.random() * 6) : 1
      const asked = Array.from({ length: atOnce }, () => this.#askFor(this.#draw(chance)))
      backoff = backOff(backoff, await Promise.all(asked))
    }
  }

  /** One conversation after the other, each of some turns, with calls and their results. A turn without its whole answer is asked again. */
  async #talk(chance: Chance): Promise<void> {
    while (!this.#areOver) {
      const dialect = chance.pick(DIALECTS)
      const before: Turn[] = []
      const turns = 2 + Math.floor(chance.random() * 12)
      const kept = dialect === 'responses' && chance.isTrue(KEPT) ? new ClientSocket() : null
      const talk: Talk = { dialect, before, kept, key: this.#drawKey(chance) }
      for (let tries = 0; before.length < turns && tries < turns * 2; tries += 1) {
        await delay(chance.pause(this.#character.thinkMs))
        if (this.#areOver) break
        if (this.#isAwake(chance)) await this.#takeTurn(chance, talk)
        else kept?.close()
      }
      kept?.close()
    }
  }

  async #takeTurn(chance: Chance, { dialect, before, kept, key }: Talk): Promise<void> {
    const drawn = { ...this.#draw(chance), history: 0 }
    const count = chance.pick([0, 1, 1, 2])
    const paths = Array.from({ length: count }, (_, at) => `${chance.pick(WORDS)}/${at}.md`)
    const isOnSocket = dialect === 'responses' && drawn.isStreamed && drawn.isOnSocket
    const talk = { before: [...before], paths }
    const text = drawn.text + expectedCalls(paths)
    const onKept = kept !== null && {
      isStreamed: true,
      isOnSocket: true,
      port: kept.port ?? drawn.port,
      key
    }
    const ask: Ask = { ...drawn, dialect, isOnSocket, talk, text, ...onKept }
    const goesOn = kept?.responseId == null ? '' : ' and goes on from the last'
    this.#world.note(`ask-${ask.id} is turn ${before.length + 1}, with ${count} calls${goesOn}`)
    const outcome = await this.#askFor(ask, kept)
    if (outcome.end !== 'whole') return
    const question = promptOf(ask).replace('ask-', 'asked-') // each request is found by its own
    const results = outcome.calls.map(() => FILE.repeat(chance.pick([1, 20, 300])))
    before.push({ question, said: saidOf(text), calls: outcome.calls, results })
  }

  #isAwake(chance: Chance): boolean {
    return this.#rhythm === null || chance.isTrue(this.#rhythm.activityAt(this.#world.now))
  }

  async #askFor(ask: Ask, kept: ClientSocket | null = null): Promise<Outcome> {
    this.#rules.onAsk(ask)
    const outcome = await askGateway(this.#world, ask, kept)
    this.#rules.onOutcome(ask, outcome)
    return outcome
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

  #drawKey(chance: Chance): number | null {
    const { keys } = this.#character
    return keys.length === 0 ? null : Math.floor(chance.random() * keys.length)
  }

  #draw(chance: Chance): Ask {
    const id = this.#nextId++
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
      talk: null,
      words: isFault ? chance.pick(WISHED_FAULTS) : chance.pick(PACES),
      isAtOnce: isFault && id % 2 === 0,
      key: this.#drawKey(chance),
      history: chance.isTrue(this.#character.longTalks) ? chance.pick(HISTORIES) : 0,
      leavesAfterMs: chance.isTrue(0.06) ? chance.between(0, 8_000) : null,
      restsMs: chance.isTrue(0.04) ? chance.between(100, 20_000) : 0
    }
    if (ask.restsMs === 0) return ask
    const long = Array.from({ length: LONGER_FOR_THE_SLOW }, () => text).join(' ')
    return { ...ask, text: `${id}: ${long}.` }
  }
}

/** As clients do, which would ask about nothing else all day once a limit is used up. Ms. */
function backOff(last: number, outcomes: readonly Outcome[]): number {
  if (!outcomes.every(({ status }) => REFUSALS.includes(status))) return 0
  return Math.min(Math.max(last * 2, BACKOFF_MS.first), BACKOFF_MS.last)
}
