import { setTimeout as delay } from 'node:timers/promises'
import { type ChatAnswer, type ChatCall, isComplete, startChat } from '../../helper/chat-client.ts'
import { type GatewayProcess, startGateway } from '../../helper/gateway-process.ts'
import { parseMetrics, type Scrape } from '../metrics-text.ts'
import { HeldUpstream } from './held-upstream.ts'

/** A gateway of two workers and an upstream that holds its streams, for one row of the table. */
export class Stage implements AsyncDisposable {
  readonly gateway: GatewayProcess
  readonly upstream: HeldUpstream
  readonly #closeUpstream: () => unknown

  private constructor(
    gateway: GatewayProcess,
    upstream: HeldUpstream,
    closeUpstream: () => unknown
  ) {
    this.gateway = gateway
    this.upstream = upstream
    this.#closeUpstream = closeUpstream
  }

  /** `envFile` can be changed while it runs, `env` can't. */
  static async open(
    envFile: Readonly<Record<string, string>>,
    env: Readonly<Record<string, string>> = {}
  ): Promise<Stage> {
    const closers: (() => unknown)[] = []
    const upstream = await HeldUpstream.start((close) => void closers.push(close))
    const { url: upstreamUrl } = upstream
    const gateway = await startGateway({
      upstreamUrl,
      envFile,
      env: { WORKERS: '2', KIRO_AUTH_URL: upstreamUrl, ...env }
    })
    return new Stage(gateway, upstream, () => closers.forEach((close) => close()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.upstream.finishAll()
    await this.gateway.destroy()
    this.#closeUpstream()
  }

  /** Streams over connections of their own. */
  chats(count: number): readonly ChatCall[] {
    return Array.from({ length: count }, () => this.chat())
  }

  chat(): ChatCall {
    const call = startChat(this.gateway.url, 'Hello')
    call.firstBytes.catch(() => {}) // told by the answer
    return call
  }

  /** So many streams that run, at the upstream and at their clients. */
  async running(count: number): Promise<readonly ChatCall[]> {
    const calls = this.chats(count)
    await Promise.all(calls.map(({ firstBytes }) => firstBytes))
    return calls
  }

  async scrape(): Promise<Scrape> {
    const response = await fetch(`${this.gateway.url}/metrics`)
    return parseMetrics(await response.text())
  }

  /** Resolves when so many requests wait for a connection. */
  async waiting(count: number): Promise<void> {
    while ((await this.scrape()).sum('pool_waiters') !== count) await delay(5)
  }

  /** Resolves when it takes no new requests any more. */
  async refusing(): Promise<void> {
    const isOpen = (): Promise<boolean> =>
      fetch(`${this.gateway.url}/health`, { headers: { connection: 'close' } }).then(
        ({ ok }) => ok,
        () => false
      )
    while (await isOpen()) await delay(2)
  }
}

/** How many streams came to their regular end. */
export async function countComplete(calls: readonly ChatCall[]): Promise<number> {
  const answers = await Promise.all(calls.map(({ answer }) => answer))
  return answers.filter(isComplete).length
}

/** Resolves with how long the answer took, and what it was. */
export async function timed(call: ChatCall): Promise<ChatAnswer & { readonly tookMs: number }> {
  const startedAt = performance.now()
  const answer = await call.answer
  return { ...answer, tookMs: performance.now() - startedAt }
}

/** Resolves when it holds; looks every two milliseconds. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await delay(2)
}

export function ms(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`
}

/** Median and largest of some durations. */
export function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  return `${ms(sorted[Math.floor(sorted.length / 2)] ?? 0)} (at most ${ms(sorted.at(-1) ?? 0)})`
}
