import type { Worker } from 'node:cluster'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Reach } from './faults.ts'
import type { Disk } from './files.ts'
import type { WorldGateway as GatewayOfWorld } from './gateway.ts'
import { readGauges } from './gauges.ts'
import { Network } from './network.ts'
import { installPlatform } from './platform.ts'
import { planFaults } from './plan.ts'
import { happening, type Recipe, takesPart } from './reproduce.ts'
import { characterOf } from './loads.ts'
import { BEGINNING, Rhythm } from './rhythm.ts'
import type { Rules } from './rules.ts'
import { Threads } from './threads.ts'
import { Unsynced } from './unsynced.ts'
import { World } from './world.ts'
import { ENGINE_PORT, fleetSettings } from './fleet-plan.ts'

const HOUR_MS = 3_600_000
/** Longest life of what is open when the clients stop. */
const CLOSING_MS = 40 * 60_000
/** Without requests; connections are kept ready for 30 minutes. */
const QUIET_MS = 35 * 60_000
/** For all that a gateway does at its start. */
const FRESH_MS = 30_000
const DRAIN_MS = 10 * 60_000
/** Files in memory, where there is such a folder: nothing of a world outlives it, and a real disk takes its time. */
const FILES = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

export interface SimulationResult {
  readonly seed: number
  /** Virtual ms when the clients began. */
  readonly begunAt: number
  /** Agents and faults that took part, by number. */
  readonly agents: readonly number[]
  readonly happened: readonly number[]
  readonly virtualMs: number
  readonly events: number
  readonly requests: number
  /** How answers have ended. */
  readonly ends: Readonly<Record<string, number>>
  readonly digest: string
  /** `null` if everything held. */
  readonly violation: Error | null
  /** Last events of each actor. */
  readonly last: ReadonlyMap<string, readonly string[]>
}

/**
 * Lives through one world: load and faults for some hours, then quiet, then the end of the gateway. Once in a process, which it
 * takes over. Everything follows from the recipe; `write` gets each line of the log, and `onBegin` the world.
 */
export async function simulate(
  recipe: Recipe,
  write: ((line: string) => void) | null = null,
  onBegin: (world: World) => void = () => {}
): Promise<SimulationResult> {
  const { seed, hours, load } = recipe
  const expected = recipe.expected ?? undefined
  Error.stackTraceLimit = 0 // nobody sees them, and thousands are made
  const stateDir = mkdtempSync(join(FILES, 'gateway-world-'))
  const world = new World(seed, write)
  onBegin(world)
  const { drawCharacter } = await import('./character.ts')
  const character = characterOf(seed, load, drawCharacter(world))
  const rhythm = load === 'days' ? new Rhythm(seed) : null
  const reach: Reach = { state: 'open', cutOff: new Set() }
  const disk: Disk = { isFull: false, slowness: 1, unsynced: new Unsynced() }
  const network = new Network(world, {
    natureOf: (port) => (port === UPSTREAM_PORT ? character.toUpstream : character.toGateway),
    reach: (port, from) => {
      if (port === UPSTREAM_PORT) return reach.state
      return port === ENGINE_PORT && reach.cutOff.has(from) ? null : 'open'
    }
  })
  const gateways: GatewayOfWorld[] = []
  const fork = (): Worker => {
    const gateway = gateways.find(({ primaryActor }) => primaryActor === world.actor)
    if (gateway === undefined) throw new Error(`${world.actor.name} is no gateway`)
    return gateway.fork().asWorker()
  }
  const threads = new Threads(world)
  const beginsAt = rhythm?.beginsAt ?? BEGINNING
  installPlatform({ world, network, threads, disk, beginsAt, fork })
  // What follows may be loaded only now: it takes its clock and its sockets from the world.
  const [
    { WorldGateway, UPSTREAM_PORT },
    { WorldUpstream },
    { Rules: RulesOfWorld },
    { Agents },
    { Faults },
    { threadBodies },
    { WorldEngine },
    { WorldFleet }
  ] = await Promise.all([
    import('./gateway.ts'),
    import('./upstream.ts'),
    import('./rules.ts'),
    import('./agents.ts'),
    import('./faults.ts'),
    import('./thread-bodies.ts'),
    import('./engine.ts'),
    import('./fleet.ts'),
    // A gateway loads these when it first needs them, which takes real time.
    import('../../src/server/rehearsal.ts'),
    import('../../src/control/panel/audit-note.ts'),
    import('../../src/control/panel/reload-change.ts'),
    import('ioredis')
  ])
  threads.bodies = threadBodies(threads)
  const { workers, signIn, fleet: plannedFleet } = character
  const ofFleet = plannedFleet === null ? {} : fleetSettings(plannedFleet)
  const env = { ...character.env, ...ofFleet }
  const count = plannedFleet?.gateways ?? 1
  for (let place = 0; place < count; place += 1) {
    const folder = join(stateDir, String(place))
    mkdirSync(folder)
    const inFleet = plannedFleet === null ? null : place
    const surroundings = { world, network, stateDir: folder, place: inFleet }
    gateways.push(new WorldGateway({ ...surroundings, workers, env, signIn }))
  }
  const engine = plannedFleet === null ? null : new WorldEngine(world)
  const fleet =
    plannedFleet === null ? null : new WorldFleet(world, { plan: plannedFleet, gateways })
  const upstream = new WorldUpstream(world, signIn?.lifetimeS ?? null)
  const parts = { gateways, fleet, upstream, character, expected }
  const rules = new RulesOfWorld({ world, network, ...parts })
  world.note(JSON.stringify(character))
  let violation: Error | null = null
  let begunAt = 0
  let happened: readonly number[] = []
  let agents: readonly number[] = []
  try {
    for (const gateway of gateways) rules.keys.write(gateway.stateDir)
    upstream.start()
    engine?.start()
    await until(
      world,
      all(gateways, (one) => one.start())
    )
    await pass(world, FRESH_MS)
    rules.noteFresh()
    begunAt = world.now
    agents = numbersTo(character.agents + character.talkers).filter((one) =>
      takesPart(recipe.agents, one)
    )
    const { touches } = rules
    const clients = new Agents(world, {
      character,
      rules,
      gateways,
      chosen: recipe.agents,
      rhythm
    })
    const plan = happening(planFaults({ seed, hours }, character, rhythm), recipe)
    const surroundings = { world, network, gateways, engine, fleet, character, upstream }
    const { signIn: ofSignIn } = rules
    const trouble = new Faults({ ...surroundings, reach, disk, touches, signIn: ofSignIn, plan })
    const revocation = plannedFleet?.revocation ?? null
    const revoker = gateways[revocation?.place ?? 0]
    if (revocation !== null && revoker !== undefined)
      world.after(revocation.at, () => rules.keys.revoke(revocation.key, revoker))
    happened = trouble.happened
    const endsAt = begunAt + hours * HOUR_MS
    while (rhythm !== null && rhythm.nextIdleAt(world.now) < endsAt) {
      await pass(world, rhythm.nextIdleAt(world.now) - world.now)
      await checkIdle(world, { rules, gateways })
    }
    await pass(world, endsAt - world.now)
    clients.end()
    trouble.end()
    const closedBy = world.now + CLOSING_MS
    await world.run(() => rules.waiting === 0 || world.now > closedBy)
    await pass(world, QUIET_MS)
    await checkIdle(world, { rules, gateways })
    await until(
      world,
      all(gateways, (one) => one.drain())
    )
    await pass(world, DRAIN_MS)
    rules.checkEnded()
    const folders = gateways.map((one) => one.stateDir)
    rules.keys.checkBooks(folders)
    rules.signIn.checkKept(folders, trouble.hadFullDisk)
    await pass(world, 1)
  } catch (error) {
    violation = error as Error
  } finally {
    rmSync(stateDir, { recursive: true, force: true })
  }
  return {
    seed,
    begunAt,
    agents,
    happened,
    virtualMs: world.now,
    events: world.events,
    requests: upstream.requests,
    ends: rules.counts,
    digest: world.log.digest(),
    violation,
    last: world.log.lastOfEach()
  }
}

/** After hours in which nobody has asked. */
async function checkIdle(
  world: World,
  { rules, gateways }: { readonly rules: Rules; readonly gateways: readonly GatewayOfWorld[] }
): Promise<void> {
  rules.checkQuiet()
  const operator = world.spawn('operator')
  for (const { port } of gateways) {
    const ask = async (): Promise<void> => rules.checkGauges(await readGauges(port))
    await until(world, world.as(operator, ask))
  }
  world.end(operator)
}

async function pass(world: World, ms: number): Promise<void> {
  const end = world.now + ms
  await world.run(() => world.now >= end)
}

async function all<T>(values: readonly T[], act: (value: T) => Promise<void>): Promise<void> {
  await Promise.all(values.map(act))
}

/** Lets time pass until something is done. */
async function until(world: World, done: Promise<void>): Promise<void> {
  let isOver = false
  done.then(
    () => (isOver = true),
    (error: Error) => world.fail(error)
  )
  await world.run(() => isOver)
}

function numbersTo(most: number): readonly number[] {
  return Array.from({ length: most }, (_, index) => index + 1)
}
