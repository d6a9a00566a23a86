import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Chance } from './chance.ts'
import type { WorldFleet } from './fleet.ts'
import type { WorldGateway } from './gateway.ts'
import { Violation, type World } from './world.ts'

/** A sign-in whose refresh token can be presented once: each answer brings the next one. */
export interface SignInPlan {
  /** Seconds for which an access token is good. */
  readonly lifetimeS: number
}

/** The first refresh token, as an operator would set it; as long as real ones. */
const FIRST_TOKEN = 'refresh-token-of-the-world'.padEnd(128, '-0123456789')
/** What the strict simulator calls the tokens that it hands out. */
const NEXT_TOKEN = 'sim-refresh-'
const FOLDER = 'credentials'

/** Half of the worlds have one; drawn apart, so that nothing else of them changes. */
export function drawSignIn(seed: number): SignInPlan | null {
  const chance = Chance.for(seed, 'sign-in')
  return chance.isTrue(0.5) ? { lifetimeS: chance.pick([300, 1_200]) } : null
}

/** Settings of the gateway for its account at the upstream. */
export function accountSettings(plan: SignInPlan | null, upstreamUrl: string) {
  return plan === null
    ? { KIRO_API_KEY: 'ksk_of_the_world' }
    : { REFRESH_TOKEN: FIRST_TOKEN, KIRO_AUTH_URL: upstreamUrl }
}

/** Longest time from the moment at which a token is presented until the next one is stored. */
const STORED_MS = 5_000
/** After a renewal in doubt, the access token of before ends about then. */
const EARLY_MS = 30_000

/** A token is renewed at half its life or later, but for one that is found at a start. */
const SOONEST = 1 / 3
/** A renewal may be late by the longest pause between two attempts, and then some. */
const LATE_MS = 120_000

/**
 * What must hold of the sign-in: no refresh token is presented twice, the newest is kept for the next start, and a new one is
 * got in time, but not all the time.
 */
export class WorldSignIn {
  readonly #world: World
  /** When each refresh token was presented. */
  readonly #presented = new Map<string, number>()
  readonly #plan: SignInPlan | null
  readonly #fleet: WorldFleet | null
  readonly #gateways: readonly Pick<WorldGateway, 'starts'>[]
  /** Of all gateways at the last renewal. */
  #startsBefore = 0

  constructor(
    world: World,
    plan: SignInPlan | null,
    {
      fleet,
      gateways
    }: {
      readonly fleet: WorldFleet | null
      readonly gateways: readonly Pick<WorldGateway, 'starts'>[]
    }
  ) {
    this.#world = world
    this.#plan = plan
    this.#fleet = fleet
    this.#gateways = gateways
  }

  onPresented(token: string): void {
    this.#world.note(`is given refresh token ${this.#presented.size + 1}`)
    this.#checkPause()
    const before = this.#presented.get(token)
    if (before !== undefined && !this.#wasInDoubt(before))
      this.#world.fail(new Violation('a refresh token was presented twice'))
    this.#presented.set(token, this.#world.now)
  }

  get #lastAt(): number {
    return Math.max(-Infinity, ...this.#presented.values())
  }

  get #lifetimeMs(): number {
    return (this.#plan?.lifetimeS ?? 0) * 1e3
  }

  /** Gateways of a fleet may renew one after the other what only one of them has got. */
  #checkPause(): void {
    const starts = this.#gateways.reduce((sum, one) => sum + one.starts, 0)
    const restedMs = this.#world.now - this.#lastAt
    const isSameLife = starts === this.#startsBefore
    this.#startsBefore = starts
    if (this.#fleet === null && isSameLife && restedMs < this.#lifetimeMs * SOONEST)
      this.#world.fail(
        new Violation(`a sign-in is renewed ${restedMs.toFixed(0)} ms after a renewal`)
      )
  }

  /** When all is as it should be, also while nobody asks: its token is renewed before it ends. */
  checkFresh(): void {
    if (this.#plan === null) return
    const restedMs = this.#world.now - this.#lastAt
    if (restedMs > this.#lifetimeMs + LATE_MS)
      this.#world.fail(new Violation(`a sign-in was not renewed for ${restedMs.toFixed(0)} ms`))
  }

  /** Whether a renewal is under way, or has just been: what it brings may not be stored yet. */
  get isRenewing(): boolean {
    return this.#world.now - this.#lastAt < STORED_MS
  }

  /** In a fleet that was in trouble it may be presented once more when the access token has ended (`docs/fleet.md`). */
  #wasInDoubt(before: number): boolean {
    const restMs = this.#lifetimeMs / 2 - EARLY_MS
    const isTroubled = this.#fleet?.wasTroubledSince(before - EARLY_MS) === true
    return isTroubled && this.#world.now - before >= restMs
  }

  /** When all gateways have ended. A disk that was full may not have the newest. */
  checkKept(stateDirs: readonly string[], hadFullDisk: boolean): void {
    const count = this.#presented.size
    if (count === 0 || hadFullDisk) return
    const folders = stateDirs.map((dir) => join(dir, FOLDER)).filter((dir) => existsSync(dir))
    const texts = folders.flatMap((folder) =>
      readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
    )
    if (!texts.some((text) => text.includes(`"${NEXT_TOKEN}${count}-`)))
      this.#world.fail(new Violation(`refresh token ${count + 1} is not on disk`))
  }
}
