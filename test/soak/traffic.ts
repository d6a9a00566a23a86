import { type ClientRequest, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../chaos/random.ts'
import { strangersIn, wordsOf } from '../helper/own-words.ts'
import type { Starvation } from './starvation.ts'

/** What must come of a request: a whole answer, a refusal, an answer that says it is broken, nothing because nobody waits. */
type Outcome = 'whole' | 'refused' | 'broken' | 'left'

interface Kind {
  readonly name: string
  /** How often, among all. */
  readonly weight: number
  readonly path: string
  readonly must: Outcome
  /** Answered at the second attempt. */
  readonly isSentTwice?: true
  /** Full of its owner's words. */
  body(random: Random, owner: string): object
}

/** What has been sent, and what has come. */
export interface TrafficCounts {
  sent: number
  ended: number
  /** Of these, what was late while the machine had no core for it, which says nothing of the gateway. */
  starved: number
  /** Of these, what no request came of: the gateway has not seen the end of its headers, and counts none. */
  withoutHead: number
  readonly unexpected: string[]
}

const MODEL = 'claude-haiku-4.5'
const CHAT = '/v1/chat/completions'
const MESSAGES = '/v1/messages'
const RESPONSES = '/v1/responses'
const END_MARKS = /data: \[DONE\]\n\n$|event: message_stop\n|event: response\.completed\n|^\{/
const MOST_UNEXPECTED = 20
/** Of silence: streams say something each ten seconds. */
const PATIENCE_MS = 120_000
/** What a machine does that has no core to give, if it went on for half of the request's time. */
const LATE = /^(nothing for|refused \(408\)|refused \(400\).*gw_transform_timeout)/
const STARVED_PART = 0.5
const HEARTBEAT_MS = 10_000
/** More says that the run was none. */
const MOST_STARVED_PART = 1 / 500
const WITHOUT_HEAD = /^refused \(408\) .*request headers/
/** There is a rush for a quarter of the time. */
const RUSH_EVERY_MS = 4 * 60_000
const RUSH_PART = 0.25
/** No owner has a longer name. */
const MOST_OWNER_CHARS = 40
/** Of each question, the words that say whose it is. */
const OWN_CHARS = 300
const LARGE_TEXT = 'const answer = compute(question) // and so on\n'.repeat(9_000)

const KINDS: readonly Kind[] = [
  chat('chat', 30, 'sim:events=40 sim:size=12 sim:gap=20'),
  chat('chat with a tool call', 8, 'call tool get_weather', { tools: [weatherTool()] }),
  chat('collected chat', 10, 'sim:events=20', { stream: false }),
  chat('large chat', 4, `${LARGE_TEXT} sim:events=5 sim:gap=10`),
  chat('long chat', 3, 'sim:events=200 sim:size=30 sim:gap=15'),
  messages('messages', 15, 'sim:events=40 sim:size=12 sim:gap=20'),
  messages('messages that think', 4, 'sim:thoughts=20 sim:events=10'),
  { ...responses('responses', 'sim:events=30 sim:gap=15'), weight: 8 },
  { ...chat('chat that is left', 5, 'sim:events=400 sim:gap=20'), must: 'left' },
  { ...chat('flaky', 2, 'sim:flaky=1 sim:events=5'), isSentTwice: true },
  { ...chat('reset', 1, 'sim:reset sim:events=20'), must: 'broken' },
  messages('cut', 1, 'sim:cut-frame sim:events=20'), // which ends as one that had too few tokens
  { ...chat('corrupt', 1, 'sim:corrupt sim:events=20'), must: 'broken' },
  { ...messages('exception', 1, 'sim:exception-mid sim:events=20'), must: 'broken' },
  { ...chat('improper', 1, 'sim:improper'), must: 'refused' },
  { ...messages('context overflow', 1, 'sim:context-overflow'), must: 'refused' },
  { ...chat('malformed', 1, '', { messages: 'none' }), must: 'refused' }
]
const WEIGHT = KINDS.reduce((sum, { weight }) => sum + weight, 0)

export interface TrafficOptions {
  readonly random: Random
  /** Between an answer and the next question, at most. */
  readonly thinkMs: number
  readonly starvation: Starvation
  /** How long it goes on. */
  readonly lastsMs: number
}

/** Asks as a number of people do, one after the other each, until it is told to stop; now and then there are many more. */
export class Traffic {
  readonly counts: TrafficCounts = {
    sent: 0,
    ended: 0,
    starved: 0,
    withoutHead: 0,
    unexpected: []
  }
  readonly #url: string
  readonly #options: TrafficOptions
  readonly #startedAt = performance.now()
  readonly #rushEveryMs: number

  constructor(url: string, options: TrafficOptions) {
    this.#url = url
    this.#options = options
    this.#rushEveryMs = Math.min(RUSH_EVERY_MS, options.lastsMs / 2)
  }

  /** Resolves when `signal` has aborted and all answers have come. */
  async run(
    { people, crowd }: { readonly people: number; readonly crowd: number },
    signal: AbortSignal
  ): Promise<void> {
    const regulars = Array.from({ length: people }, () => this.#person(() => !signal.aborted))
    const others = Array.from({ length: crowd }, () => this.#comeInRushes(signal))
    await Promise.all([...regulars, ...others])
  }

  /** What is wrong with the answers, in words. */
  complaints(): readonly string[] {
    const { sent, starved, unexpected } = this.counts
    if (starved <= 2 + sent * MOST_STARVED_PART) return unexpected
    return [...unexpected, `${starved} of ${sent} answers had no core: the machine is too busy`]
  }

  async #person(stays: () => boolean): Promise<void> {
    while (stays()) {
      await this.#ask(this.#choose())
      await delay(this.#options.random.next() * this.#options.thinkMs)
    }
  }

  async #comeInRushes(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const untilMs = this.#untilRushMs()
      if (untilMs === 0) await this.#person(() => !signal.aborted && this.#untilRushMs() === 0)
      else await delay(untilMs, undefined, { signal }).catch(() => {}) // it is over
    }
  }

  /** The second quarter of each period. */
  #untilRushMs(): number {
    const at = (performance.now() - this.#startedAt) % this.#rushEveryMs
    const from = this.#rushEveryMs * RUSH_PART
    if (at < from) return from - at
    return at < 2 * from ? 0 : this.#rushEveryMs - at + from
  }

  async #ask(kind: Kind): Promise<void> {
    const { random, starvation } = this.#options
    const [startedAt, starvedMs] = [performance.now(), starvation.totalMs()]
    this.counts.sent += 1
    const owner = `asker-${this.counts.sent}`
    const outcome = await ask(this.#url, { kind, owner, random })
    this.counts.ended += 1
    if (WITHOUT_HEAD.test(outcome)) this.counts.withoutHead += 1
    if (outcome.startsWith(kind.must)) return
    const tookMs = performance.now() - startedAt
    // The first heartbeat has the status with it: what follows can only be said in the stream, and nothing is sent again.
    const isBound = kind.must === 'refused' || kind.isSentTwice === true
    if (isBound && outcome === 'broken' && tookMs >= HEARTBEAT_MS) return
    const waitedMs = starvation.totalMs() - starvedMs
    if (LATE.test(outcome) && waitedMs > tookMs * STARVED_PART) this.counts.starved += 1
    else this.#note(`${kind.name}: ${outcome}, not ${kind.must}; ${said(tookMs, waitedMs)}`)
  }

  #choose(): Kind {
    let at = this.#options.random.next() * WEIGHT
    return KINDS.find(({ weight }) => (at -= weight) < 0) ?? chat('chat', 1, '')
  }

  #note(text: string): void {
    if (this.counts.unexpected.length < MOST_UNEXPECTED) this.counts.unexpected.push(text)
  }
}

/** Resolves with the outcome, and what it is known by. */
function ask(
  url: string,
  { kind, owner, random }: { readonly kind: Kind; readonly owner: string; readonly random: Random }
): Promise<string> {
  const { path, must } = kind
  return new Promise((resolve) => {
    const call = request(`${url}${path}`, {
      method: 'POST',
      agent: false, // people come and go
      headers: { 'content-type': 'application/json', 'anthropic-version': '2023-06-01' }
    })
    const timer = setTimeout(
      () => leave(call, resolve, `nothing for ${PATIENCE_MS} ms`),
      PATIENCE_MS
    )
    call.on('error', () => resolve('cut'))
    call.on('close', () => clearTimeout(timer))
    call.on('response', (response) => {
      let tail = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        const strangers = strangersIn(tail.slice(-MOST_OWNER_CHARS) + piece, owner)
        if (strangers.length > 0) leave(call, resolve, `words of ${strangers.join(', ')}`)
        tail = (tail + piece).slice(-4000)
        timer.refresh()
      })
      response.on('error', () => {}) // 'close' follows
      response.on('close', () => resolve(outcomeOf(response.statusCode ?? 0, tail)))
      if (must === 'left') setTimeout(() => leave(call, resolve, 'left'), random.next() * 1500)
    })
    call.end(JSON.stringify(kind.body(random, owner)))
  })
}

function said(tookMs: number, waitedMs: number): string {
  const [took, waited] = [tookMs, waitedMs].map((ms) => (ms / 1000).toFixed(1))
  return `after ${took} s, of which ${waited} s without a core`
}

function leave(call: ClientRequest, resolve: (outcome: string) => void, said: string): void {
  resolve(said)
  call.destroy()
}

function outcomeOf(status: number, tail: string): string {
  if (status !== 200) return `refused (${status}) ${tail.slice(0, 300)}`
  if (/"error"/.test(tail) && !END_MARKS.test(tail)) return 'broken'
  return END_MARKS.test(tail) ? 'whole' : `without an end: ${tail.slice(-300)}`
}

function chat(name: string, weight: number, words: string, fields: object = {}): Kind {
  const body = (random: Random, owner: string): object => ({
    model: MODEL,
    stream: true,
    messages: [{ role: 'user', content: question(random, owner, words) }],
    ...fields
  })
  return { name, weight, path: CHAT, must: 'whole', body }
}

function messages(name: string, weight: number, words: string): Kind {
  return { ...chat(name, weight, words, { max_tokens: 4000 }), path: MESSAGES }
}

function responses(name: string, words: string): Kind {
  const body = (random: Random, owner: string): object => ({
    model: MODEL,
    stream: true,
    input: question(random, owner, words)
  })
  return { name, weight: 1, path: RESPONSES, must: 'whole', body }
}

function question(random: Random, owner: string, words: string): string {
  return `${Math.floor(random.next() * 1e9)} ${wordsOf(owner, OWN_CHARS)}${words}`
}

function weatherTool(): object {
  const parameters = { type: 'object', properties: { city: { type: 'string' } } }
  return {
    type: 'function',
    function: { name: 'get_weather', description: 'Weather.', parameters }
  }
}
