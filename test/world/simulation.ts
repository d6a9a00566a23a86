import type { Worker } from 'node:cluster'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Reach } from './faults.ts'
import type { WorldGateway as GatewayOfWorld } from './gateway.ts'
import { Network } from './network.ts'
import { installPlatform } from './platform.ts'
import { World } from './world.ts'

const HOUR_MS = 3_600_000
/** Longest life of what is open when the clients stop. */
const CLOSING_MS = 40 * 60_000
/** Without requests; connections are kept ready for 30 minutes. */
const QUIET_MS = 35 * 60_000
const DRAIN_MS = 10 * 60_000
const UPSTREAM_PORT = 9000

export interface SimulationOptions {
  readonly seed: number
  /** Virtual hours of load. */
  readonly hours: number
  /** Gets each line of the log. */
  readonly write?: (line: string) => void
  /** Connections that the upstream expects at most; by default as many as are configured. Fewer make a world that fails. */
  readonly expected?: number
}

export interface SimulationResult {
  readonly seed: number
  readonly virtualMs: number
  readonly events: number
  readonly requests: number
  readonly faults: number
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
 * takes over. Everything follows from the seed.
 */
export async function simulate({
  seed,
  hours,
  write,
  expected
}: SimulationOptions): Promise<SimulationResult> {
  const stateDir = mkdtempSync(join(tmpdir(), 'gateway-world-'))
  const world = new World(seed, write ?? null)
  const { drawCharacter } = await import('./character.ts')
  const character = drawCharacter(world)
  const reach: Reach = { state: 'open' }
  const network = new Network(world, {
    natureOf: (port) => (port === UPSTREAM_PORT ? character.toUpstream : character.toGateway),
    reach: (port) => (port === UPSTREAM_PORT ? reach.state : 'open')
  })
  let gateway: GatewayOfWorld | null = null
  const fork = (): Worker => {
    if (gateway === null) throw new Error('there is no gateway yet')
    return gateway.fork().asWorker()
  }
  installPlatform({ world, network, fork })
  // What follows may be loaded only now: it takes its clock and its sockets from the world.
  const [{ WorldGateway }, { WorldUpstream }, { Rules }, { Agents }, { Faults }] =
    await Promise.all([
      import('./gateway.ts'),
      import('./upstream.ts'),
      import('./rules.ts'),
      import('./agents.ts'),
      import('./faults.ts'),
      // A gateway loads these when it first needs them, which takes real time.
      import('../../src/server/rehearsal.ts'),
      import('../../src/control/panel/audit-note.ts'),
      import('../../src/control/panel/reload-change.ts')
    ])
  const { workers, env } = character
  gateway = new WorldGateway({ world, network, stateDir, workers, env })
  const upstream = new WorldUpstream(world)
  const rules = new Rules({ world, network, gateway, upstream, character, expected })
  world.note(JSON.stringify(character))
  let violation: Error | null = null
  let faults = 0
  try {
    upstream.start()
    await until(world, gateway.start())
    const agents = new Agents(world, character, rules)
    const trouble = new Faults({ world, network, gateway, character, reach, upstream })
    rules.watch(trouble)
    await pass(world, hours * HOUR_MS)
    agents.end()
    trouble.end()
    faults = trouble.count
    const closedBy = world.now + CLOSING_MS
    await world.run(() => rules.waiting === 0 || world.now > closedBy)
    await pass(world, QUIET_MS)
    rules.checkQuiet()
    await until(world, gateway.drain())
    await pass(world, DRAIN_MS)
    rules.checkEnded()
    await pass(world, 1)
  } catch (error) {
    violation = error as Error
  } finally {
    gateway.removeFiles()
  }
  return {
    seed,
    virtualMs: world.now,
    events: world.events,
    requests: upstream.requests,
    faults,
    ends: rules.counts,
    digest: world.log.digest(),
    violation,
    last: world.log.lastOfEach()
  }
}

async function pass(world: World, ms: number): Promise<void> {
  const end = world.now + ms
  await world.run(() => world.now >= end)
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
