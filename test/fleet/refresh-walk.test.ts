import t from 'tap'
import { isNightly } from '../helper/nightly.ts'
import { seededRandom } from '../helper/seeded-random.ts'
import { POINTS, RefreshWorld } from './refresh-world.ts'

t.setTimeout(240_000)

const MINUTE = 60_000
const WALKS = isNightly ? 30 : 2
const STEPS = 60

/** Everything goes wrong, drawn by chance. */
async function walk(seed: number) {
  const random = seededRandom(seed)
  const world = new RefreshWorld({ random })
  const { clock, engine, service } = world
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  const snapshots: (string | null)[] = [null]
  const startAgain = (name: string): void => {
    clock.after(random() * 2 * MINUTE, () => void world.replicas.get(name)?.start())
  }
  world.onKilled = startAgain
  let signIns = 0
  const signIn = (): void => {
    const [one] = world.alive
    if (one === undefined) return
    signIns += 1
    pick(world.alive).signInAnew(service.newFamily())
  }
  const actions: readonly (() => void)[] = [
    () => {
      world.killAt = pick(POINTS)
    },
    () => {
      world.killAt = pick(POINTS)
    },
    () => {
      if (world.alive.length < 2) return
      const victim = pick(world.alive)
      victim.kill()
      startAgain(victim.name)
    },
    () => engine.restart(pick(snapshots)),
    () => {
      engine.isDown = true
      clock.after(random() * 15 * MINUTE, () => {
        engine.isDown = false
        for (const listener of engine.listeners) listener(null)
      })
    },
    () => {
      world.noise = random() * 0.6
      clock.after(random() * 5 * MINUTE, () => {
        world.noise = 0
      })
    },
    () => void (random() < 0.3 && signIn()),
    () => void (world.alive.length > 0 && pick(world.alive).want(random() < 0.5)),
    () => {
      world.nextAnswer = pick(['lost, and spent', 'lost, and not spent', 'busy'] as const)
    }
  ]
  await world.start()
  for (let step = 0; step < STEPS && world.violations.length === 0; step += 1) {
    await clock.until(() => false, random() * 25 * MINUTE)
    snapshots.push(engine.value)
    if (world.alive.some(({ isAsking }) => isAsking)) signIn()
    else pick(actions)()
  }
  // Then all is well again.
  world.killAt = null
  world.nextAnswer = null
  await clock.until(() => world.alive.length === 3, 20 * MINUTE)
  for (let tries = 0; tries < 3; tries += 1) {
    await clock.until(() => world.alive.some(({ isAsking }) => isAsking), 90 * MINUTE)
    if (world.alive.some(({ isAsking }) => isAsking)) signIn()
  }
  await clock.until(() => false, 2 * MINUTE)
  const used = new Set(world.alive.map((one) => one.used?.refreshToken))
  const isMended = world.alive.every(({ isServing }) => isServing) && used.size === 1
  return { world, isMended, signIns }
}

t.test('the sign-in of a fleet in which everything goes wrong', async (t) => {
  let renewals = 0
  let again = 0
  let revocations = 0
  const first = Number(process.env['WALK_SEED'] ?? 1)
  for (let seed = first; seed < first + WALKS; seed += 1) {
    const { world, isMended } = await walk(seed)
    const { service, violations } = world
    renewals += service.presented.size
    again += [...service.presented.values()].filter((times) => times > 1).length
    revocations += service.revocations
    const story = [...violations, ...world.said.slice(-6)].join('\n')
    if (violations.length > 0) t.fail(`walk ${seed}: ${story}`)
    if (!isMended) t.fail(`walk ${seed} does not end well: ${story}`)
  }
  t.comment(`${renewals} renewals, ${again} tokens presented again, ${revocations} revoked`)
  t.ok(renewals > WALKS * 10 && again > 0)
})
