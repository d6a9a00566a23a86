import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Chance } from './chance.ts'
import type { WorldFleet } from './fleet.ts'
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

/** What must hold of the sign-in: no refresh token is presented twice, and the newest is kept for the next start. */
export class WorldSignIn {
  readonly #world: World
  /** When each refresh token was presented. */
  readonly #presented = new Map<string, number>()
  readonly #plan: SignInPlan | null
  readonly #fleet: WorldFleet | null

  constructor(world: World, plan: SignInPlan | null, fleet: WorldFleet | null) {
    this.#world = world
    this.#plan = plan
    this.#fleet = fleet
  }

  onPresented(token: string): void {
    this.#world.note(`is given refresh token ${this.#presented.size + 1}`)
    const before = this.#presented.get(token)
    if (before !== undefined && !this.#wasInDoubt(before))
      this.#world.fail(new Violation('a refresh token was presented twice'))
    this.#presented.set(token, this.#world.now)
  }

  /** Whether a renewal is under way, or has just been: what it brings may not be stored yet. */
  get isRenewing(): boolean {
    const last = Math.max(-Infinity, ...this.#presented.values())
    return this.#world.now - last < STORED_MS
  }

  /** In a fleet that was in trouble it may be presented once more when the access token has ended (`docs/fleet.md`). */
  #wasInDoubt(before: number): boolean {
    const restMs = ((this.#plan?.lifetimeS ?? 0) * 1e3) / 2 - EARLY_MS
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
