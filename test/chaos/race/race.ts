import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isComplete, startChat } from '../../helper/chat-client.ts'
import { GatewayProcess } from '../../helper/gateway-process.ts'
import { Random } from '../random.ts'
import { SharedSource, type SourceKind } from './shared-source.ts'
import { TokenService } from './token-service.ts'

export interface RaceOptions {
  readonly seconds: number
  readonly source: SourceKind
  readonly seed: number
  readonly clients: number
  /** IDE and CLI know nothing of the lock, as the real ones: then only gateways are held to one presentation. */
  readonly areStrangers: boolean
  /** `slow`: one gateway alone, whose tokens live as long as it takes to renew them; nobody is killed. */
  readonly kind?: 'race' | 'slow'
  readonly onProgress?: (line: string) => void
}

export interface RaceReport {
  readonly requests: number
  readonly renewals: number
  readonly kills: number
  /** Renewals by IDE and CLI. */
  readonly byOthers: number
  /** What must not be. */
  readonly violations: readonly string[]
}

const KINDS = {
  race: { lifeMs: 1_000, delayMs: [0, 150], clusters: 2, isCrowded: true },
  slow: { lifeMs: 3_000, delayMs: [3_000, 3_000], clusters: 1, isCrowded: false }
} as const
const WORKERS = 2
/** A client of a cluster that was killed hears of it within this time. */
const AFTERMATH_MS = 5_000

/**
 * Two clusters, an IDE and a CLI live on one sign-in whose tokens last a second, while clients ask and processes are
 * killed: nobody may show a refresh token twice, no client may be refused for want of a token, and the newest token must be
 * on disk in the end.
 */
export async function runRace(options: RaceOptions): Promise<RaceReport> {
  const race = new Race(options)
  try {
    await race.start()
    await race.run()
    return await race.end()
  } finally {
    await race.close()
  }
}

class Race {
  readonly #options: RaceOptions
  readonly #terms: (typeof KINDS)['race' | 'slow']
  readonly #random: Random
  readonly #folder = mkdtempSync(join(tmpdir(), 'gateway-race-'))
  readonly #service: TokenService
  readonly #source: SharedSource
  readonly #clusters: Cluster[] = []
  readonly #violations: string[] = []
  #isOver = false
  #requests = 0
  #kills = 0
  #byOthers = 0

  constructor(options: RaceOptions) {
    this.#options = options
    this.#terms = KINDS[options.kind ?? 'race']
    const { lifeMs, delayMs } = this.#terms
    this.#random = new Random(options.seed)
    this.#service = new TokenService({ random: this.#random, lifeMs, delayMs })
    this.#source = new SharedSource(this.#folder, options.source, lifeMs)
  }

  async start(): Promise<void> {
    await this.#service.start()
    for (let index = 1; index <= this.#terms.clusters; index += 1) {
      const env = {
        ...this.#source.env,
        KIRO_AUTH_URL: this.#service.url,
        KIRO_USER_AGENT: `cluster-${index}`,
        STATE_DIR: join(this.#folder, `state-${index}`),
        WORKERS: String(WORKERS),
        LOG_LEVEL: 'info'
      }
      this.#clusters.push(new Cluster(`cluster-${index}`, env, this.#service.url))
    }
    await Promise.all(this.#clusters.map((cluster) => cluster.start()))
  }

  async run(): Promise<void> {
    const { seconds, clients, onProgress } = this.#options
    const loops = [
      ...Array.from({ length: clients }, (_, index) => this.#client(index)),
      ...(this.#terms.isCrowded
        ? [this.#otherProgram('IDE'), this.#otherProgram('CLI'), this.#killer()]
        : [])
    ]
    const endAt = performance.now() + seconds * 1000
    while (performance.now() < endAt) {
      await pause(Math.min(1000, endAt - performance.now()))
      onProgress?.(
        `${this.#requests} requests, ${this.#service.presentations.length} renewals, ${this.#kills} kills, ${this.#violations.length} violations`
      )
    }
    this.#isOver = true
    await Promise.all(loops)
  }

  async end(): Promise<RaceReport> {
    for (const cluster of this.#clusters) await cluster.stop()
    const { presentations, valid } = this.#service
    const { refreshToken, note } = this.#source.read()
    if (refreshToken !== valid) {
      this.#violations.push(`the source ends with ${refreshToken}, the newest is ${valid}`)
    }
    if (note !== 'kept') this.#violations.push('an unknown member is gone from the source')
    const counted = this.#options.areStrangers
      ? presentations.filter(({ by }) => by.startsWith('cluster'))
      : presentations
    const shown = new Set<string>()
    for (const { token, by, outcome } of counted) {
      if (outcome !== 'again' && shown.has(token)) {
        this.#violations.push(`${token} was shown again by ${by}: ${outcome}`)
      }
      shown.add(token)
    }
    return {
      requests: this.#requests,
      renewals: presentations.filter(({ outcome }) => outcome === 'renewed').length,
      kills: this.#kills,
      byOthers: this.#byOthers,
      violations: this.#violations
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#clusters.map((cluster) => cluster.destroy()))
    this.#service.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #client(index: number): Promise<void> {
    const cluster = this.#clusters[index % this.#clusters.length]
    if (cluster === undefined) return
    while (!this.#isOver) {
      await cluster.whenServing()
      const startedAt = performance.now()
      const answer = await startChat(cluster.url, 'hello').answer
      this.#requests += 1
      // A process that is killed takes its clients' connections with it.
      if (!isComplete(answer) && !cluster.wasHurtSince(startedAt - AFTERMATH_MS)) {
        this.#violations.push(`a client got ${answer.status} ${answer.text.slice(0, 300)}`)
      }
      await pause(this.#random.between(10, 60))
    }
  }

  /** Renews when its token is over or nearly so, as the gateway's neighbours do. */
  async #otherProgram(by: 'IDE' | 'CLI'): Promise<void> {
    const never = new AbortController().signal
    const { lifeMs } = this.#terms
    while (!this.#isOver) {
      await pause(this.#random.between(500, 2500))
      const lock = this.#options.areStrangers ? null : await this.#source.lock().acquire(never)
      try {
        const { refreshToken, expiresAt } = this.#source.read()
        if (expiresAt > Date.now() + lifeMs / 2) continue
        const tokens = await this.#service.renew(refreshToken, by)
        if (tokens === null) continue // a gateway was first
        await this.#source.write(tokens, lifeMs)
        this.#byOthers += 1
      } catch {
        // the gateway writes just now: it looks again later
      } finally {
        await lock?.release()
      }
    }
  }

  async #killer(): Promise<void> {
    while (!this.#isOver) {
      await pause(this.#random.between(1500, 4000))
      const cluster = this.#random.pick(this.#clusters)
      if (this.#isOver || cluster === undefined || !cluster.isServing) continue
      this.#kills += 1
      if (this.#random.chance(0.5)) {
        cluster.killWorker(this.#random)
        continue
      }
      cluster.kill()
      this.#service.killed(cluster.name)
      await cluster.restart()
    }
  }
}

/** A gateway that is started again under the same name after it was killed. */
class Cluster {
  readonly name: string
  readonly #env: Readonly<Record<string, string>>
  readonly #upstreamUrl: string
  #gateway: GatewayProcess | null = null
  #serving = Promise.withResolvers<void>()
  #hurtAt = -Infinity
  isServing = false

  constructor(name: string, env: Readonly<Record<string, string>>, upstreamUrl: string) {
    this.name = name
    this.#env = env
    this.#upstreamUrl = upstreamUrl
  }

  get url(): string {
    return this.#gateway?.url ?? ''
  }

  async start(): Promise<void> {
    const env = { ...this.#env, KIRO_API_URL: this.#upstreamUrl }
    this.#gateway = await new GatewayProcess({ env }).ready()
    this.isServing = true
    this.#serving.resolve()
  }

  whenServing(): Promise<void> {
    return this.#serving.promise
  }

  wasHurtSince(at: number): boolean {
    return this.#hurtAt >= at || !this.isServing
  }

  kill(): void {
    this.isServing = false
    this.#serving = Promise.withResolvers<void>()
    this.#hurtAt = performance.now()
    this.#gateway?.child.kill('SIGKILL')
  }

  killWorker(random: Random): void {
    const pid = random.pick(this.#gateway?.workerPids() ?? [])
    this.#hurtAt = performance.now()
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
  }

  async restart(): Promise<void> {
    await this.#gateway?.exited
    await this.start()
    this.#hurtAt = performance.now() // its orphaned workers may still answer
  }

  async stop(): Promise<void> {
    await this.#gateway?.stop()
  }

  async destroy(): Promise<void> {
    await this.#gateway?.destroy()
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
