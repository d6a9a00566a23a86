import t, { type Test } from 'tap'
import { isNightly } from '../helper/nightly.ts'
import { seededRandom } from '../helper/seeded-random.ts'
import { IN_DOUBT, POINTS, type Point, RefreshWorld, signInOf } from './refresh-world.ts'

t.setTimeout(240_000)

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** Expiries, in which the gateway that renews is killed at each of the points in turn. */
const ROUNDS = isNightly ? 1_000 : 32

async function started(random: () => number, skew?: (name: string) => number) {
  const world = new RefreshWorld({ random, ...(skew !== undefined && { skew }) })
  await world.start()
  await world.clock.until(() => world.alive.every(({ isServing }) => isServing), MINUTE)
  return world
}

/** Whoever renews next is killed there, and started again after so long. */
async function kill(world: RefreshWorld, point: Point, backMs: number): Promise<string> {
  let victim = ''
  world.killAt = point
  world.onKilled = (name) => {
    victim = name
  }
  await world.clock.until(() => victim !== '', 3 * HOUR)
  await world.clock.until(() => false, backMs)
  await world.replicas.get(victim)?.start()
  return victim
}

function allHave(world: RefreshWorld, isNew: (token: string) => boolean): boolean {
  return (
    world.alive.length === world.replicas.size &&
    world.alive.every((one) => one.isServing && isNew(one.used?.accessToken ?? ''))
  )
}

t.test(`${ROUNDS} expiries, the gateway that renews killed at each of eight points`, async (t) => {
  const random = seededRandom(15)
  const world = await started(random)
  const { service, clock } = world
  const counts = new Map<Point, { rounds: number; second: number; revoked: number }>()
  let unserved = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    const point = POINTS[round % POINTS.length] ?? POINTS[0]
    const isDoubtful = IN_DOUBT.includes(point)
    const [token, spent] = [service.valid, service.valid.replace('r', 'a')]
    const before = service.revocations
    await kill(world, point, random() * 20 * MINUTE)
    // Where the doubt is real, half of the people sign in when the log says so, and the others when they must.
    if (isDoubtful && random() < 0.5) {
      const signedIn = service.newFamily()
      world.alive[Math.floor(random() * 3)]?.signInAnew(signedIn)
    }
    let isAsked = false
    const isOver = (): boolean => {
      if (world.alive.every(({ isServing }) => !isServing)) unserved += 1
      isAsked = world.alive.some(({ isAsking }) => isAsking)
      return isAsked || allHave(world, (one) => one !== spent)
    }
    const isMended = await clock.until(isOver, 2 * HOUR)
    if (!isMended) return void t.fail(`${round} ${point}: ${world.said.slice(-8).join('\n')}`)
    const presented = service.presented.get(token) ?? 0
    const revoked = service.revocations - before
    if (isAsked) {
      if (!isDoubtful || revoked !== 1) t.fail(`${round} ${point}: asks for a new sign-in`)
      world.alive[Math.floor(random() * 3)]?.signInAnew(service.newFamily())
      const isAdopted = await clock.until(
        () => allHave(world, (one) => one === service.valid.replace('r', 'a')),
        MINUTE
      )
      if (!isAdopted) return void t.fail(`${round}: a new sign-in is not used by all`)
    }
    const count = counts.get(point) ?? { rounds: 0, second: 0, revoked: 0 }
    count.rounds += 1
    count.second += presented > 1 ? 1 : 0
    count.revoked += revoked
    counts.set(point, count)
    if (presented > (isDoubtful ? 2 : 1)) t.fail(`${round} ${point}: presented ${presented} times`)
  }
  for (const point of POINTS) {
    const count = counts.get(point) ?? { rounds: 0, second: 0, revoked: 0 }
    const { rounds, second, revoked } = count
    t.comment(`${point}: ${rounds} times, ${second} presented again, ${revoked} revoked`)
    t.equal(rounds, ROUNDS / POINTS.length)
    if (!IN_DOUBT.includes(point)) t.same([second, revoked], [0, 0], point)
    else t.ok(revoked > 0 && revoked < rounds, `${point}: only where nobody has signed in`)
  }
  t.comment(`${unserved} moments at which no gateway had a token`)
  const loud = world.said.filter((line) => line.includes('tried once more'))
  t.ok(loud.every((line) => line.startsWith('error')) && loud.length > 0, 'and each loudly')
  t.equal(tokensIn([world.engine.value ?? '', ...world.said]), 0, 'no token in engine or log')
})

function tokensIn(texts: readonly string[]): number {
  return texts.filter((text) => /[ar]\d+\.\d+/.test(text.replaceAll(/"\w+Ms":[\d.-]+/g, ''))).length
}

t.test('Valkey', async (t) => {
  t.test('restarts and knows nothing: the gateways do', async (t) => {
    const world = await started(seededRandom(1))
    for (let round = 0; round < 20; round += 1) {
      const before = world.service.valid
      world.engine.restart()
      await world.clock.until(() => world.service.valid !== before, HOUR)
      await world.clock.until(() => false, MINUTE)
      t.equal(world.service.presented.get(before), 1)
    }
    t.equal(world.service.revocations, 0)
  })
  t.test('restarts, and a token that is needed meanwhile is waited for', async (t) => {
    const world = await started(seededRandom(5))
    const before = world.service.valid
    world.engine.restart()
    world.alive[0]?.want(true)
    await world.clock.until(() => world.service.valid !== before, MINUTE)
    t.not(world.service.valid, before)
    t.same(world.refusals, [])
  })
  t.test('restarts with what it knew long ago', async (t) => {
    const world = await started(seededRandom(2))
    const old = world.engine.value
    await world.clock.until(() => false, 3 * HOUR)
    world.engine.restart(old)
    await world.clock.until(() => false, 3 * HOUR)
    t.equal(world.service.revocations, 0)
    t.ok([...world.service.presented.values()].every((times) => times === 1))
  })
  t.test(
    'restarts while one renews, which has the next token only in its own folder',
    async (t) => {
      const world = await started(seededRandom(3))
      let victim = ''
      world.killAt = 'the overlay is stored'
      world.onKilled = (name) => {
        victim = name
      }
      await world.clock.until(() => victim !== '', HOUR)
      world.engine.restart()
      await world.clock.until(() => false, 5 * MINUTE)
      await world.replicas.get(victim)?.start()
      await world.clock.until(() => false, 2 * HOUR)
      t.equal(world.service.revocations, 0)
    }
  )
  t.test('is away for longer than a token lives: nobody presents anything', async (t) => {
    const world = await started(seededRandom(4))
    world.engine.isDown = true
    await world.clock.until(() => false, 3 * HOUR)
    t.equal(world.service.presented.size, 0)
    t.notOk(world.alive.some(({ isServing }) => isServing))
    world.engine.isDown = false
    await world.clock.until(() => allHave(world, () => true), MINUTE)
    t.same([...world.service.presented.values()], [1])
  })
  t.test(
    'goes away when it has acknowledged the intent: that one renews, and tells it later',
    async (t) => {
      const world = await started(seededRandom(5))
      const { engine, service, clock } = world
      const before = service.valid
      const cas = engine.cas.bind(engine)
      engine.cas = (change) => {
        const answer = cas(change)
        engine.isDown = change.value?.includes('"phase":"presenting"') === true
        return answer
      }
      await clock.until(() => engine.isDown, HOUR)
      await clock.until(() => service.valid !== before, MINUTE)
      await clock.until(() => false, 10 * MINUTE)
      t.equal(world.alive.filter(({ used }) => used?.refreshToken === service.valid).length, 1)
      engine.cas = cas
      engine.isDown = false
      await clock.until(
        () => allHave(world, (one) => one === service.valid.replace('r', 'a')),
        MINUTE
      )
      t.same([...service.presented.values()], [1])
    }
  )
  t.end()
})

t.test('a value in Valkey that is not of this fleet', async (t) => {
  const world = await started(seededRandom(6))
  const { engine, service, clock } = world
  const good = JSON.parse(engine.value ?? '') as Record<string, unknown>
  const hostile = [
    'x'.repeat(700_000),
    '[]',
    '{"v":1}',
    '{"__proto__":{"gen":1}}',
    JSON.stringify({ ...good, gen: 2 ** 48 }),
    JSON.stringify({ ...good, gen: 0.5 }),
    JSON.stringify({ ...good, phase: 'free' }),
    JSON.stringify({ ...good, holder: 'x'.repeat(100) }),
    JSON.stringify({ ...good, spent: Array.from({ length: 100 }, () => '0'.repeat(16)) }),
    JSON.stringify({ ...good, sealed: 'AAAA' }),
    JSON.stringify({ ...good, sealed: String(good['sealed']).replace(/.{4}$/, 'AAAA') }),
    JSON.stringify({ ...good, phase: 'refused' }),
    JSON.stringify({ ...good, fence: 99 })
  ]
  for (const value of hostile) {
    const said = world.said.length
    engine.put(value)
    await clock.until(() => false, MINUTE)
    t.same(JSON.parse(engine.value ?? '').gen, good['gen'], `${value.slice(0, 40)} is replaced`)
    const lines = world.said
      .slice(said)
      .filter((line) => line.includes('not trusted and is replaced'))
    t.ok(lines.length === 3, `${lines.length} lines by three gateways`)
  }
  await clock.until(() => false, 3 * HOUR)
  t.equal(service.revocations, 0)
  t.ok(service.presented.size >= 4, 'and is renewed as ever')
})

t.test('a value of a later version stays, and nobody presents anything', async (t) => {
  const world = await started(seededRandom(7))
  world.engine.put('{"v":2}')
  await world.clock.until(() => false, 3 * HOUR)
  t.equal(world.engine.value, '{"v":2}')
  t.equal(world.service.presented.size, 0)
  t.ok(world.said.some((line) => line.includes('newer version')))
})

t.test('a token service that says nothing when the access token has ended', async (t) => {
  const world = await started(seededRandom(14))
  const { engine, service, clock } = world
  engine.isDown = true
  await clock.until(() => false, 3 * HOUR)
  t.notOk(world.alive.some(({ isServing }) => isServing))
  world.nextAnswer = 'lost, and not spent'
  engine.isDown = false
  t.ok(await clock.until(() => allHave(world, (one) => one !== 'a1.0'), MINUTE), 'is asked again')
  t.same([...service.presented.values()], [1])
  t.ok(world.said.some((line) => line.startsWith('error') && line.includes('once more')))
  t.notOk(world.said.some((line) => line.includes('restart that gateway')))
  t.same(world.violations, [])
})

t.test('a gateway', async (t) => {
  t.test('whose folder was set back', async (t) => {
    const world = await started(seededRandom(8))
    const victim = world.replicas.get('b')
    const old = victim?.kept ?? null
    await world.clock.until(() => false, 3 * HOUR)
    if (victim === undefined) return
    victim.kill()
    victim.kept = old
    await victim.start()
    await world.clock.until(() => victim.isServing, MINUTE)
    t.equal(victim.used?.refreshToken, world.service.valid, 'uses what the fleet has')
    await world.clock.until(() => false, 3 * HOUR)
    t.equal(world.service.revocations, 0)
  })
  t.test('that is new, with an old copy of the file', async (t) => {
    const world = await started(seededRandom(9))
    await world.clock.until(() => false, 3 * HOUR)
    const victim = world.replicas.get('c')
    if (victim === undefined) return
    for (const copy of ['r1.0', 'r1.3', 'r0.7']) {
      victim.kill()
      victim.kept = null
      victim.files = signInOf(copy, world.clock.now - 4 * HOUR)
      await victim.start()
      await world.clock.until(() => victim.isServing, MINUTE)
      t.equal(victim.used?.refreshToken, world.service.valid, copy)
    }
    await world.clock.until(() => false, 3 * HOUR)
    t.equal(world.service.revocations, 0)
  })
  t.test('that nobody has signed in at uses what the others have', async (t) => {
    const world = await started(seededRandom(10))
    const victim = world.replicas.get('c')
    if (victim === undefined) return
    victim.kill()
    victim.kept = null
    victim.files = { ...victim.files, refreshToken: null, accessToken: null, isAwaited: true }
    await victim.start()
    t.ok(await world.clock.until(() => victim.isServing, MINUTE))
  })
  t.test('with another secret replaces nothing for long, and presents nothing', async (t) => {
    const world = await started(seededRandom(11))
    await world.clock.until(() => false, 2 * HOUR)
    const victim = world.replicas.get('c')
    if (victim === undefined) return
    victim.kill()
    victim.kept = null
    victim.secrets = ['another-secret-of-thirty-two-characters']
    await victim.start()
    await world.clock.until(() => false, 900)
    const { presented } = world.service
    t.notOk([...presented.values()].some((times) => times > 1))
    victim.kill()
    await world.clock.until(() => false, 3 * HOUR)
    t.equal(world.service.revocations, 0)
  })
  t.test('whose clock is a day off', async (t) => {
    const DAY = 24 * HOUR
    for (const [seed, ahead] of [DAY, -DAY].entries()) {
      const skew = (name: string): number => (name === 'b' ? ahead : 0)
      const world = await started(seededRandom(seed), skew)
      await world.clock.until(() => false, 12 * HOUR)
      t.ok(world.alive.every(({ isServing }) => isServing))
      t.ok(world.service.presented.size < 40, `${world.service.presented.size} renewals`)
      t.equal(world.service.revocations, 0)
    }
  })
  t.test('that is refused by the upstream renews at once, and one does it for all', async (t) => {
    const world = await started(seededRandom(12))
    const before = world.service.valid
    for (const one of world.alive) one.want(true)
    t.ok(await world.clock.until(() => allHave(world, (one) => one !== 'a1.0'), 5_000))
    t.same([...world.service.presented], [[before, 1]])
  })
  t.test('at which somebody signs in: all use that', async (t: Test) => {
    const world = await started(seededRandom(13))
    for (const name of ['a', 'b', 'c', 'a']) {
      await world.clock.until(() => false, HOUR)
      const signedIn = world.service.newFamily()
      world.replicas.get(name)?.signInAnew(signedIn)
      t.ok(
        await world.clock.until(
          () => world.alive.every(({ used }) => used?.refreshToken === signedIn),
          1_000
        ),
        name
      )
    }
    t.equal(world.service.revocations, 0)
  })
  t.end()
})
