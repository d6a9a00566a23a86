import { setImmediate as turn } from 'node:timers/promises'
import { FleetSignIn } from '../../src/control/fleet/fleet-sign-in.ts'
import type { KeptSignIn } from '../../src/control/fleet/shared-tokens.ts'
import type { RenewalOutcome } from '../../src/credentials/renew.ts'
import type { StoredCredential } from '../../src/credentials/stored-credential.ts'
import type { FleetRecord, FleetRecords, RecordChange } from '../../src/fleet/fleet-records.ts'
import { FleetSeal } from '../../src/fleet/fleet-seal.ts'
import { refreshTimes } from '../../src/fleet/next-refresh.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { storedCredential } from '../helper/stored-credential.ts'

/** Where the gateway that renews is killed. */
export const POINTS = [
  'before the intent',
  'the intent is sent',
  'the intent is acknowledged',
  'the token is presented',
  'the answer is received',
  'the overlay is stored',
  'Valkey has stored it',
  'it is used'
] as const
export type Point = (typeof POINTS)[number]
/** Spent at the token service, and nobody has what it was spent for. */
export const IN_DOUBT: readonly Point[] = ['the token is presented', 'the answer is received']

const LIFE_S = 3600
const TURN_MS = refreshTimes(1_800_000).turnMs
const NEVER = new Promise<never>(() => {})

/** Time that passes when nothing else happens. Epoch ms. */
export class WorldClock {
  now = 1_800_000_000_000
  readonly #timers = new Set<{ readonly at: number; readonly run: () => void }>()

  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.now + delayMs, run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** To the next thing that happens, at most to `end`. False: nothing is left before that. */
  async step(end: number): Promise<boolean> {
    await turn()
    let next: { readonly at: number; readonly run: () => void } | null = null
    for (const one of this.#timers) if (next === null || one.at < next.at) next = one
    if (next === null || next.at > end) {
      this.now = end
      return false
    }
    this.#timers.delete(next)
    this.now = Math.max(this.now, next.at)
    next.run()
    await turn()
    return true
  }

  async until(holds: () => boolean, longestMs: number): Promise<boolean> {
    const end = this.now + longestMs
    while (!holds()) if (!(await this.step(end))) return holds()
    return true
  }
}

/** Tokens that work once each: presenting one again revokes all of its family. */
export class FamilyService {
  #family = 0
  #number = 0
  #isRevoked = false
  /** How often each token was presented. */
  readonly presented = new Map<string, number>()
  revocations = 0

  get valid(): string {
    return `r${this.#family}.${this.#number}`
  }

  get isRevoked(): boolean {
    return this.#isRevoked
  }

  /** Somebody signs in. */
  newFamily(): string {
    this.#family += 1
    this.#number = 0
    this.#isRevoked = false
    return this.valid
  }

  /** Nothing can come of it any more, and nothing be lost. */
  isDead(token: string): boolean {
    return this.#isRevoked || !token.startsWith(`r${this.#family}.`)
  }

  present(token: string): RenewalOutcome {
    this.presented.set(token, (this.presented.get(token) ?? 0) + 1)
    if (token === this.valid && !this.#isRevoked) {
      this.#number += 1
      return { type: 'renewed', tokens: tokensOf(this.valid) }
    }
    if (token.startsWith(`r${this.#family}.`) && !this.#isRevoked) {
      this.#isRevoked = true
      this.revocations += 1
    }
    return { type: 'refused', error: new GatewayError('GW_UPSTREAM_AUTH') }
  }
}

function tokensOf(refreshToken: string) {
  const accessToken = refreshToken.replace('r', 'a')
  return { accessToken, refreshToken, expiresInS: LIFE_S, profileArn: null }
}

/** The register of a Valkey, in memory. */
export class MemoryEngine {
  run = 'run1'
  isDown = false
  #value: string | null = null
  #rev = 0
  #at = 0
  readonly clock: WorldClock
  readonly listeners = new Set<(name: string | null) => void>()

  constructor(clock: WorldClock) {
    this.clock = clock
  }

  get value(): string | null {
    return this.#value
  }

  read(): FleetRecord {
    if (this.isDown) throw new Error('down')
    return { run: this.run, rev: this.#rev, value: this.#value, ageMs: this.clock.now - this.#at }
  }

  cas({ rev, value }: RecordChange) {
    if (this.isDown) throw new Error('down')
    if (rev !== this.#rev) return { isWritten: false, record: this.read() }
    this.put(value)
    return { isWritten: true, record: this.read() }
  }

  /** Anybody may write. */
  put(value: string | null): void {
    this.#rev = this.#rev === 0 ? this.clock.now : this.#rev + 1
    this.#value = value
    this.#at = this.clock.now
    for (const listener of this.listeners) listener('sign-in.files')
  }

  /** Another process, which knows nothing, or what `value` says. */
  restart(value: string | null = null): void {
    this.run = `run${Number(this.run.slice(3)) + 1}`
    this.#value = value
    this.#rev = value === null ? 0 : 7
    this.isDown = false
    for (const listener of this.listeners) listener(null)
  }
}

interface Presentation {
  readonly at: number
  /** A process. */
  readonly by: string
  readonly isAnswered: boolean
}

export interface WorldOptions {
  readonly random: () => number
  readonly names?: readonly string[]
  /** Ms that the clock of a gateway is ahead. */
  readonly skew?: (name: string) => number
}

/** Gateways that share a sign-in, with time, engine and token service of a test; killed where the test says. */
export class RefreshWorld {
  readonly clock = new WorldClock()
  readonly service = new FamilyService()
  readonly engine = new MemoryEngine(this.clock)
  readonly replicas = new Map<string, Replica>()
  readonly options: WorldOptions
  readonly #presented = new Map<string, Presentation>()
  /** Where the next gateway that comes there is killed. */
  killAt: Point | null = null
  onKilled: (name: string) => void = () => {}
  /** What the token service does with the next token that is presented, instead of answering. */
  nextAnswer: 'lost, and spent' | 'lost, and not spent' | 'busy' | null = null
  /** Part of the calls of Valkey that are lost, or whose answer is. */
  noise = 0
  /** What must never happen. */
  readonly violations: string[] = []
  readonly said: string[] = []
  /** Why gateways did not get a token when they needed one. */
  readonly refusals: string[] = []

  constructor(options: WorldOptions) {
    this.options = options
    const first = this.service.newFamily()
    for (const name of options.names ?? ['a', 'b', 'c']) {
      this.replicas.set(name, new Replica(this, name, signInOf(first, this.clock.now)))
    }
  }

  get alive(): readonly Replica[] {
    return [...this.replicas.values()].filter(({ isAlive }) => isAlive)
  }

  async start(): Promise<void> {
    for (const one of this.replicas.values()) await one.start()
  }

  /**
   * Presents a token. A second time it must be in doubt: nobody who is alive has what the first was answered, and its turn is
   * over, but for the process that knows that nothing comes of it any more.
   */
  present(token: string, isUseless: boolean, by: string): RenewalOutcome {
    const { service, clock, nextAnswer, violations } = this
    const [, family = '', number = ''] = /^r(\d+)\.(\d+)$/.exec(token) ?? []
    const successor = `r${family}.${Number(number) + 1}`
    const last = this.#presented.get(token)
    if (last !== undefined && !service.isDead(token)) {
      const kept = this.alive.filter((one) => one.kept?.tokens.refreshToken === successor)
      if (kept.length > 0) violations.push(`${token} again, and ${kept[0]?.name} has the next`)
      if (!isUseless) violations.push(`${token} again, and its access token is good`)
      const ageMs = clock.now - last.at
      const isKnownOver = last.isAnswered && last.by === by
      if (ageMs < TURN_MS && !isKnownOver) violations.push(`${token} again after ${ageMs} ms`)
    }
    this.#presented.set(token, { at: clock.now, by, isAnswered: false })
    this.nextAnswer = null
    if (nextAnswer === 'busy') {
      this.#presented.delete(token)
      return { type: 'unspent', error: new GatewayError('GW_UPSTREAM_RATE_LIMITED') }
    }
    const lost: RenewalOutcome = { type: 'unknown', error: new GatewayError('GW_UPSTREAM_RESET') }
    if (nextAnswer === 'lost, and not spent') return lost
    const outcome = service.present(token)
    return nextAnswer === null ? outcome : lost
  }

  /** Whoever has presented it knows what has come of that, if anything. */
  answered(token: string): void {
    const last = this.#presented.get(token)
    if (last !== undefined) this.#presented.set(token, { ...last, isAnswered: true })
  }

  /** Whether a call of Valkey is lost, or its answer. */
  lose(): 'call' | 'answer' | null {
    const { random } = this.options
    if (random() >= this.noise) return null
    return random() < 0.5 ? 'call' : 'answer'
  }

  /** Kills the gateway if it is to be killed there. */
  reach(point: Point, replica: Replica): boolean {
    if (this.killAt !== point) return false
    this.killAt = null
    replica.kill()
    this.onKilled(replica.name)
    return true
  }
}

export function signInOf(refreshToken: string, now: number): StoredCredential {
  return storedCredential({
    refreshToken,
    accessToken: refreshToken.replace('r', 'a'),
    expiresAt: now + (LIFE_S - 60) * 1000
  })
}

/** A gateway, as far as its sign-in goes. */
export class Replica {
  readonly name: string
  /** What its own files hold. */
  files: StoredCredential
  /** What its STATE_DIR holds. */
  kept: KeptSignIn | null = null
  isAlive = false
  secrets: readonly string[] = ['secret-of-the-fleet-for-all-tests']
  /** What it uses. */
  used: StoredCredential | null = null
  /** It has asked for a new sign-in. */
  isAsking = false
  signIn: FleetSignIn | null = null
  readonly #world: RefreshWorld
  #life = 0
  #cancel: () => void = () => {}
  #isBusy = false

  constructor(world: RefreshWorld, name: string, files: StoredCredential) {
    this.#world = world
    this.name = name
    this.files = files
  }

  get #now(): number {
    return this.#world.clock.now + (this.#world.options.skew?.(this.name) ?? 0)
  }

  get isServing(): boolean {
    return this.isAlive && (this.used?.expiresAt ?? 0) > this.#now
  }

  async start(): Promise<void> {
    const { clock, said } = this.#world
    this.isAlive = true
    this.#life += 1
    this.#isBusy = false
    this.used = null
    const say = (level: string) => (facts: unknown, message: string) =>
      void said.push(`${level} ${this.name} ${message} ${JSON.stringify(facts)}`)
    const began = clock.now
    const signIn = await FleetSignIn.open({
      records: this.#records(),
      seal: new FleetSeal(this.secrets, 'kiro'),
      overlay: this.#overlay(),
      fleet: 'kiro',
      self: this.name,
      source: 'sign-in.files',
      times: refreshTimes(1_800_000),
      isOpen: () => true,
      loginHint: 'Sign in.',
      log: { info: say('info'), warn: say('warn'), error: say('error') } as never,
      clock: {
        instant: () => ({ mono: clock.now - began, wall: this.#now, up: clock.now - began }),
        after: (delayMs, run) => clock.after(delayMs, this.#whileAlive(run))
      }
    })
    this.signIn = signIn
    signIn.onNews(() => void this.#look(false))
    void this.#look(false)
  }

  kill(): void {
    this.isAlive = false
    this.#life += 1
    this.used = null
    this.#cancel()
  }

  /** A person signs in here, or the file is changed. */
  signInAnew(refreshToken: string): void {
    this.files = signInOf(refreshToken, this.#now)
    void this.#look(false)
  }

  /** Somebody needs a token now; `isRefused`: the upstream does not take the one in use. */
  want(isRefused = false): void {
    void this.#look(true, isRefused)
  }

  async #look(mustRenew: boolean, isRefused = false): Promise<void> {
    const { signIn } = this
    const life = this.#life
    if (!this.isAlive || signIn === null || this.#isBusy) return
    this.#isBusy = true
    let waitMs: number | null = null
    try {
      const { stored } = await signIn.newest(this.files)
      const isDue = (stored.expiresAt ?? 0) - this.#now < (LIFE_S * 1000) / 2
      if ((this.used?.accessToken ?? '') !== stored.accessToken) this.#use(stored)
      if (isDue || mustRenew) {
        const { stored: fresh } = await signIn.renew({
          stored,
          isUseless: () => isRefused || (stored.expiresAt ?? 0) <= this.#now,
          present: (limitMs) => this.#present(stored, limitMs, isRefused),
          signal: new AbortController().signal
        })
        this.#use(fresh)
        if (this.#world.reach('it is used', this)) return
      }
    } catch (cause) {
      if (this.#life !== life) return
      const error = cause as GatewayError
      this.#world.refusals.push(error.message)
      if (error.code === 'GW_UPSTREAM_AUTH') this.isAsking = true
      waitMs = (error.retryAfterS ?? 5) * 1000
    }
    if (this.#life !== life) return
    this.#isBusy = false
    this.#cancel()
    const leftMs = (this.used?.expiresAt ?? 0) - this.#now
    const dueMs = Math.max(1000, (leftMs - LIFE_S * 500) * (1 + this.#world.options.random() / 10))
    this.#cancel = this.#world.clock.after(
      waitMs ?? dueMs,
      this.#whileAlive(() => void this.#look(false))
    )
  }

  #use(stored: StoredCredential): void {
    if (!this.isAlive) return
    this.used = stored
    if ((stored.expiresAt ?? 0) > this.#now) this.isAsking = false
  }

  async #present(
    { refreshToken, expiresAt }: StoredCredential,
    limitMs: number,
    isRefused: boolean
  ): Promise<RenewalOutcome> {
    if (!this.isAlive || limitMs <= 0) return NEVER
    if (this.#world.reach('the intent is acknowledged', this)) return NEVER
    const isUseless = isRefused || (expiresAt ?? 0) <= this.#now
    const token = refreshToken ?? ''
    const outcome = this.#world.present(token, isUseless, `${this.name}${this.#life}`)
    if (this.#world.reach('the token is presented', this)) return NEVER
    this.#world.answered(token)
    return outcome
  }

  #records(): FleetRecords {
    const { engine } = this.#world
    const life = this.#life
    const isGone = () => this.#life !== life
    return {
      read: async () => {
        if (isGone()) return NEVER
        if (this.#world.lose() !== null) throw new Error('lost')
        return engine.read()
      },
      cas: async (_name, change) => {
        if (isGone()) return NEVER
        const lost = this.#world.lose()
        if (lost === 'call') throw new Error('lost')
        const isIntent = change.value?.includes('"phase":"presenting"') === true
        const isRenewal = change.value?.includes('"phase":"idle"') === true
        if (isIntent && this.#world.reach('before the intent', this)) return NEVER
        const answer = engine.cas(change)
        if (lost === 'answer') throw new Error('lost')
        if (isIntent && this.#world.reach('the intent is sent', this)) return NEVER
        if (isRenewal && this.#world.reach('Valkey has stored it', this)) return NEVER
        return answer
      },
      onNews: (listener) => {
        const hear = (name: string | null) => void (isGone() || listener(name))
        engine.listeners.add(hear)
        return () => engine.listeners.delete(hear)
      }
    }
  }

  #overlay() {
    const life = this.#life
    return {
      load: () => Promise.resolve(this.kept),
      save: async (kept: KeptSignIn) => {
        if (this.#life !== life) return NEVER
        const isAnswer = kept.facts.phase === 'idle' && kept.facts.gen > (this.kept?.facts.gen ?? 0)
        const isMine = isAnswer && kept.facts.holder === this.name
        if (isMine && this.#world.reach('the answer is received', this)) return NEVER
        this.kept = kept
        if (isMine && this.#world.reach('the overlay is stored', this)) return NEVER
      }
    }
  }

  #whileAlive(run: () => void): () => void {
    const life = this.#life
    return () => void (this.#life === life && run())
  }
}
