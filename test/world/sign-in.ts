import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Chance } from './chance.ts'
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

/** What must hold of the sign-in: no refresh token is presented twice, and the newest is kept for the next start. */
export class WorldSignIn {
  readonly #world: World
  readonly #presented = new Set<string>()

  constructor(world: World) {
    this.#world = world
  }

  onPresented(token: string): void {
    this.#world.note(`is given refresh token ${this.#presented.size + 1}`)
    if (this.#presented.has(token))
      this.#world.fail(new Violation('a refresh token was presented twice'))
    this.#presented.add(token)
  }

  /** When the gateway has ended. A disk that was full may not have the newest. */
  checkKept(stateDir: string, hadFullDisk: boolean): void {
    const count = this.#presented.size
    if (count === 0 || hadFullDisk) return
    const folder = join(stateDir, FOLDER)
    const texts = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
    if (!texts.some((text) => text.includes(`"${NEXT_TOKEN}${count}-`)))
      this.#world.fail(new Violation(`refresh token ${count + 1} is not on disk`))
  }
}
