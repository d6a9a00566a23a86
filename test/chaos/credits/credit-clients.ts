import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../random.ts'

/** Anna and Ci have limits, of which Ci's is soon used up; Ben has none. */
export const TEAM = ['anna', 'ben', 'ci'] as const
export type Person = (typeof TEAM)[number]

/** A client's request that is over, and those that were sent meanwhile are not. */
export interface Asked {
  readonly who: Person
  /** By the clock of `performance.now()`. */
  readonly from: number
  until: number
  /** The client hung up, or had the answer cut by a stop sequence or a limit of tokens. */
  readonly isCutShort: boolean
  status: number
}

const KINDS = {
  whole: 50,
  collected: 10,
  'stop-sequence': 10,
  'max-tokens': 8,
  'hang-up': 14,
  'hang-up-at-first': 8
} as const
type Kind = keyof typeof KINDS

const STOP = 'STOP'
/** A client whose request is not answered at all tries again after so long. */
const REST_MS = [200, 1_800] as const

/** Clients of three keys that ask again and again, and leave in every way that clients leave. */
export class CreditClients {
  /** By the number of the request, from 0. */
  readonly asked: Asked[] = []
  /** Where the gateway is now. */
  url = ''
  readonly #keys: Readonly<Record<Person, string>>
  readonly #random: Random
  #isOver = false
  #isPaused = false
  #resume = Promise.withResolvers<void>()
  #clients: readonly Promise<void>[] = []
  #underWay = 0

  constructor(keys: Readonly<Record<Person, string>>, random: Random) {
    this.#keys = keys
    this.#random = random
  }

  start(ofEach: number): void {
    this.#clients = TEAM.flatMap((who) => Array.from({ length: ofEach }, () => this.#run(who)))
  }

  /** Resolves when none of them has a request under way. */
  async pause(): Promise<void> {
    this.#isPaused = true
    while (this.#underWay > 0) await delay(20)
  }

  resume(): void {
    this.#isPaused = false
    this.#resume.resolve()
    this.#resume = Promise.withResolvers()
  }

  async end(): Promise<void> {
    this.#isOver = true
    this.resume()
    await Promise.all(this.#clients)
  }

  async #run(who: Person): Promise<void> {
    while (!this.#isOver) {
      if (this.#isPaused) {
        await this.#resume.promise
        continue
      }
      this.#underWay += 1
      await this.#ask(who)
      this.#underWay -= 1
      await delay(this.#random.between(...REST_MS))
    }
  }

  /** Never rejects. */
  #ask(who: Person): Promise<void> {
    const kind = this.#random.weighted(KINDS)
    const isCutShort = kind !== 'whole' && kind !== 'collected'
    const asked = { who, isCutShort, from: performance.now(), until: Infinity, status: 0 }
    const number = this.asked.push(asked) - 1
    const { promise, resolve } = Promise.withResolvers<void>()
    const isMessages = kind === 'max-tokens'
    const call = request(`${this.url}/v1/${isMessages ? 'messages' : 'chat/completions'}`, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json', 'x-api-key': this.#keys[who] }
    })
    const leaver =
      kind === 'hang-up' ? setTimeout(() => call.destroy(), this.#random.between(0, 600)) : null
    call.on('error', () => {}) // it left, or the gateway was killed
    call.on('response', (response) => {
      asked.status = response.statusCode ?? 0
      response.on('error', () => {})
      response.on('data', () => {
        if (kind === 'hang-up-at-first') call.destroy()
      })
    })
    call.on('close', () => {
      asked.until = performance.now()
      if (leaver !== null) clearTimeout(leaver)
      resolve()
    })
    call.end(JSON.stringify(bodyOf(kind, number)))
    return promise
  }
}

function bodyOf(kind: Kind, number: number) {
  const word = kind === 'stop-sequence' ? STOP : 'go'
  return {
    model: 'claude-sonnet-4.6',
    stream: kind !== 'collected',
    max_tokens: kind === 'max-tokens' ? 2 : 1000,
    messages: [{ role: 'user', content: `request ${number} ${word}` }],
    ...(kind === 'stop-sequence' && { stop: STOP })
  }
}
