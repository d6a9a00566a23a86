import { type ClientRequest, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { serve } from '../helper/subprocess.ts'
import { strangersIn } from '../helper/own-words.ts'
import { bystanderPrompt } from './bystander-prompt.ts'

/** Those who use the gateway while it is abused, in a process of their own: running streams, small requests, health probes. */

export type BystanderQuestion =
  | { readonly type: 'begin'; readonly url: string; readonly key: string; readonly streams: number }
  | { readonly type: 'end' }

export interface BystanderFigures {
  readonly small: ProbeFigures
  readonly health: ProbeFigures
  /** The same of a bare server beside the gateway: what the machine makes of anybody's answer. */
  readonly bare: ProbeFigures
  readonly streams: { readonly whole: number; readonly broken: number }
  /** Of the slowest small request, what the gateway says of its time; the rest it took to get there and back. */
  readonly slowest: string
  /** What went wrong, a few of each. */
  readonly problems: readonly string[]
  /** Answers with words of others. */
  readonly mixed: readonly string[]
}

export interface ProbeFigures {
  readonly count: number
  readonly failed: number
  readonly medianMs: number
  readonly p99Ms: number
  readonly worstMs: number
}

/** Of each stream: 200 events in 6 s, so that one that is held up is seen. */
const StreamWords = 200
const StreamPrompt = `sim:events=${StreamWords} sim:gap=30`
const HealthGapMs = 25
const SmallGapMs = 100
/** Nothing of a bystander takes longer; what does has failed. */
const PatienceMs = 60_000
const MaxProblems = 10

class Bystanders {
  readonly #url: string
  readonly #key: string
  readonly #over = new AbortController()
  readonly #small: number[] = []
  readonly #health: number[] = []
  readonly #bare: number[] = []
  readonly #bareServer = createServer((_request, response) => response.end('ok'))
  readonly #loops: Promise<void>[] = []
  #slowest = { ms: 0, timing: '' }
  #smallFailed = 0
  #healthFailed = 0
  #whole = 0
  #broken = 0
  #asked = 0
  readonly #problems: string[] = []
  readonly #mixed: string[] = []

  constructor(url: string, key: string) {
    this.#url = url
    this.#key = key
  }

  begin(streams: number): void {
    this.#loops.push(this.#probeHealth(), this.#probeBare(), this.#askSmall())
    for (let index = 0; index < streams; index++) this.#loops.push(this.#stream(index))
  }

  /** Resolves when what had begun is over. */
  async end(): Promise<BystanderFigures> {
    this.#over.abort()
    await Promise.all(this.#loops)
    this.#bareServer.close()
    return {
      small: toFigures(this.#small, this.#smallFailed),
      health: toFigures(this.#health, this.#healthFailed),
      bare: toFigures(this.#bare, 0),
      streams: { whole: this.#whole, broken: this.#broken },
      slowest: `${this.#slowest.ms.toFixed(0)} ms: ${this.#slowest.timing}`,
      problems: this.#problems,
      mixed: this.#mixed.slice(0, MaxProblems)
    }
  }

  async #probeBare(): Promise<void> {
    await new Promise<void>((resolve) => this.#bareServer.listen(0, '127.0.0.1', resolve))
    const { port } = this.#bareServer.address() as AddressInfo
    while (!this.#over.signal.aborted) {
      const startedAt = performance.now()
      await this.#ask('GET', `http://127.0.0.1:${port}/`)
      this.#bare.push(performance.now() - startedAt)
      await delay(HealthGapMs)
    }
  }

  async #probeHealth(): Promise<void> {
    while (!this.#over.signal.aborted) {
      const startedAt = performance.now()
      const answer = await this.#ask('GET', '/health')
      if (answer.status === 200) this.#health.push(performance.now() - startedAt)
      else {
        this.#healthFailed += 1
        this.#note(`health: ${answer.status} ${answer.problem ?? answer.text}`)
      }
      await delay(HealthGapMs)
    }
  }

  /** The next begins on time although the one before is not over: who is held up must not hide others who are. */
  async #askSmall(): Promise<void> {
    const running = new Set<Promise<void>>()
    while (!this.#over.signal.aborted) {
      const one = this.#askOne().finally(() => running.delete(one))
      running.add(one)
      await delay(SmallGapMs)
    }
    await Promise.all(running)
  }

  async #askOne(): Promise<void> {
    const startedAt = performance.now()
    const answer = await this.#chat('sim:events=5 sim:gap=0 sim:first=0')
    const ms = performance.now() - startedAt
    if (isWhole(answer)) {
      this.#small.push(ms)
      if (ms > this.#slowest.ms) this.#slowest = { ms, timing: answer.timing ?? '' }
    } else {
      this.#smallFailed += 1
      this.#note(`small: ${answer.status} ${answer.problem ?? answer.text.slice(-200)}`)
    }
  }

  async #stream(index: number): Promise<void> {
    await delay(index * 20)
    while (!this.#over.signal.aborted) {
      const answer = await this.#chat(StreamPrompt)
      // One for each event, except for two without a blank between them. Events that come together are one delta.
      const words = wordsIn(answer.text)
      if (isWhole(answer) && words >= StreamWords - 1) this.#whole += 1
      else {
        this.#broken += 1
        const cause = answer.problem ?? answer.text.slice(-200)
        this.#note(`stream: ${answer.status} with ${words} words: ${cause}`)
        await delay(50)
      }
    }
  }

  async #chat(wish: string): Promise<BystanderAnswer> {
    const owner = `bystander-${++this.#asked}`
    const answer = await this.#ask('POST', '/v1/chat/completions', {
      model: 'claude-haiku-4.5',
      stream: true,
      messages: [{ role: 'user', content: `${bystanderPrompt(owner)} ${wish}` }]
    })
    const strangers = strangersIn(answer.text, owner)
    if (strangers.length === 0) return answer
    const problem = `words of ${strangers.join(', ')} in an answer to ${owner}`
    this.#mixed.push(problem)
    return { ...answer, problem }
  }

  /** Over a connection of its own, so that every worker gets some. */
  #ask(method: string, path: string, body?: unknown): Promise<BystanderAnswer> {
    const { promise, resolve } = Promise.withResolvers<BystanderAnswer>()
    const headers = { authorization: `Bearer ${this.#key}`, 'content-type': 'application/json' }
    const call: ClientRequest = request(new URL(path, this.#url), { method, agent: false, headers })
    let text = ''
    let status = 0
    let timing = ''
    const fail = (error: Error): void => resolve({ status, text, problem: error.message })
    const timer = setTimeout(() => call.destroy(new Error('no answer in time')), PatienceMs)
    call.on('response', (response) => {
      status = response.statusCode ?? 0
      timing = String(response.headers['server-timing'] ?? '')
      response.setEncoding('utf8')
      response.on('data', (piece: string) => (text += piece))
      response.on('end', () => resolve({ status, text, timing }))
      response.on('error', fail)
    })
    call.on('error', fail)
    call.end(body === undefined ? undefined : JSON.stringify(body))
    return promise.finally(() => clearTimeout(timer))
  }

  #note(problem: string): void {
    if (this.#problems.length < MaxProblems) this.#problems.push(problem)
  }
}

interface BystanderAnswer {
  readonly status: number
  readonly text: string
  readonly problem?: string
  readonly timing?: string
}

function wordsIn(answer: string): number {
  const deltas = answer.matchAll(/"content":"((?:[^"\\]|\\.)*)"/g)
  return Array.from(deltas, ([, text = '']) => text)
    .join('')
    .trim()
    .split(/\s+/).length
}

function isWhole({ status, text, problem }: BystanderAnswer): boolean {
  return (
    status === 200 &&
    problem === undefined &&
    /"finish_reason":"stop".*data: \[DONE\]\n\n$/s.test(text)
  )
}

function toFigures(times: readonly number[], failed: number): ProbeFigures {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0
  return {
    count: sorted.length,
    failed,
    medianMs: at(0.5),
    p99Ms: at(0.99),
    worstMs: at(1)
  }
}

if (process.send !== undefined) {
  let bystanders: Bystanders | null = null
  serve(async (question: BystanderQuestion) => {
    if (question.type === 'end') return bystanders?.end()
    bystanders = new Bystanders(question.url, question.key)
    bystanders.begin(question.streams)
    return undefined
  })
}
