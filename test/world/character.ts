import { Chance } from './chance.ts'
import { drawFleet, type FleetPlan } from './fleet-plan.ts'
import type { KeyPlan } from './keys.ts'
import type { LinkNature } from './network.ts'
import { drawSignIn, type SignInPlan } from './sign-in.ts'
import type { World } from './world.ts'

export type FaultName =
  | 'cut'
  | 'halve'
  | 'vanish'
  | 'kill'
  | 'pause'
  | 'pause primary'
  | 'slow'
  | 'refuse'
  | 'silence'
  | 'resize'
  | 'restart'
  | 'late start'
  | 'clock'
  | 'full disk'
  | 'slow disk'
  | 'power loss'
  | 'valkey restart'
  | 'valkey flush'
  | 'valkey away'
  | 'valkey slow'
  | 'gateway crash'

export const ALL_FAULTS: readonly FaultName[] = [
  'cut',
  'halve',
  'vanish',
  'kill',
  'pause',
  'pause primary',
  'slow',
  'refuse',
  'silence',
  'resize',
  'restart',
  'late start',
  'clock'
]

/** Only a sign-in that is renewed writes files while the gateway serves. */
export const DISK_FAULTS: readonly FaultName[] = ['full disk', 'slow disk']

/** Of a fleet alone. */
export const FLEET_FAULTS: readonly FaultName[] = [
  'valkey restart',
  'valkey flush',
  'valkey away',
  'valkey slow',
  'gateway crash'
]

/** Part of the worlds whose machines lose power. */
const POWER = 0.25
export const POWER_FAULTS: readonly FaultName[] = ['power loss']

/** Part of the links on which several writes arrive at once. */
const JOINED = 0.3

/** Part of the ways to the upstream whose jitter is a multiple of a short latency: a reset may be slower than a new connection. */
const UNEVEN = 0.3
const UNEVEN_MS = 5

/** What one world is like, all of it drawn from its seed before anything happens. */
export interface Character {
  readonly workers: number
  readonly maxConnections: number
  readonly env: Readonly<Record<string, string>>
  readonly agents: number
  /** Agents with a tool, beside them, whose conversations grow turn by turn. */
  readonly talkers: number
  /** Mean pause of an agent between its answers, ms. */
  readonly thinkMs: number
  /** Part of the questions that ask the upstream for a fault. */
  readonly wishedFaults: number
  /** Part of the questions that end a long conversation. */
  readonly longTalks: number
  /** Limits of its named keys; without any, all clients have the operator's. */
  readonly keys: readonly KeyPlan[]
  /** `null` with an API key, which is never renewed. */
  readonly signIn: SignInPlan | null
  /** `null` for a gateway that is alone. */
  readonly fleet: FleetPlan | null
  /** What goes wrong around the gateway; none in a calm world. */
  readonly faults: readonly FaultName[]
  /** Mean pause between two faults, ms. */
  readonly faultMs: number
  readonly toUpstream: LinkNature
  readonly toGateway: LinkNature
}

export function drawCharacter(world: World): Character {
  const workers = world.pick([1, 2, 2, 3])
  const maxConnections = Math.max(workers, world.pick([2, 3, 4, 5, 8, 16, 40]))
  const isCalm = world.isTrue(0.25)
  const drawn = isCalm ? [] : ALL_FAULTS.filter(() => world.isTrue(0.4))
  // A clock that jumps says that a token is good when it is not, and the other way round.
  const signIn = drawn.includes('clock') ? null : drawSignIn(world.seed)
  const ofDisk = signIn === null || isCalm ? [] : DISK_FAULTS
  const ofPower = !isCalm && Chance.for(world.seed, 'power').isTrue(POWER) ? POWER_FAULTS : []
  const limits = { workers, maxConnections }
  const rest = drawRest(world, limits, { signIn, faults: [...drawn, ...ofDisk, ...ofPower] })
  const joined = joinPieces(Chance.for(world.seed, 'joined'), rest)
  const character = joggle(Chance.for(world.seed, 'uneven'), joined)
  const fleet = drawFleet(world.seed, character.keys.length)
  if (fleet === null) return character
  const faults = isCalm ? [] : [...character.faults.filter(canHitFleet), ...FLEET_FAULTS]
  return { ...character, fleet, faults }
}

/** A fleet's lease goes by the clock that all processes of a machine have, and here one of them jumps alone. */
export function canHitFleet(name: FaultName): boolean {
  return name !== 'clock'
}

/** A part of the links that leave writes as they are; drawn apart, so that nothing else of a world changes. */
function joinPieces(chance: Chance, character: Character): Character {
  const joined = (link: LinkNature): LinkNature =>
    chance.isTrue(JOINED) && link.pieces === 'whole' ? { ...link, pieces: 'joined' } : link
  const { toUpstream, toGateway } = character
  return { ...character, toUpstream: joined(toUpstream), toGateway: joined(toGateway) }
}

/** Stays below the 10 ms that the gateway gives a peer to notice a reset: nothing could tell it of more. */
function joggle(chance: Chance, character: Character): Character {
  const { toUpstream } = character
  if (!chance.isTrue(UNEVEN) || toUpstream.jitterMs >= UNEVEN_MS) return character
  return { ...character, toUpstream: { ...toUpstream, jitterMs: UNEVEN_MS } }
}

function drawRest(
  world: World,
  { workers, maxConnections }: Pick<Character, 'workers' | 'maxConnections'>,
  { signIn, faults }: Pick<Character, 'signIn' | 'faults'>
): Character {
  return {
    workers,
    maxConnections,
    env: {
      HTTP_MAX_CONNECTIONS: String(maxConnections),
      HTTP_MAX_KEEPALIVE_CONNECTIONS: String(Math.ceil(maxConnections / world.pick([1, 2, 4]))),
      HTTP_KEEPALIVE_EXPIRY: world.pick(['5', '60', '60', 'none']),
      HTTP_POOL_TIMEOUT: world.pick(['none', 'none', '20']),
      FIRST_TOKEN_TIMEOUT: '15',
      STREAMING_READ_TIMEOUT: '30'
    },
    agents: world.pick([1, 2, 4, 8, 12]),
    talkers: Chance.for(world.seed, 'talkers').pick([0, 1, 1, 2]),
    thinkMs: world.pick([500, 4_000, 20_000, 60_000]),
    wishedFaults: world.isTrue(0.3) ? 0 : world.pick([0.05, 0.2]),
    longTalks: world.pick([0, 0.02, 0.06]),
    keys: world.isTrue(0.6)
      ? Array.from({ length: world.pick([1, 2, 4]) }, () => drawKey(world))
      : [],
    signIn,
    fleet: null,
    faults,
    faultMs: world.pick([10_000, 60_000, 300_000]),
    toUpstream: drawLink(world, [0.1, 2, 20, 80]),
    toGateway: drawLink(world, [0.1, 2, 20])
  }
}

function drawKey(world: World): KeyPlan {
  return {
    credits: world.pick([null, 1.2, 3, 50]),
    period: 'total',
    requestsPerMinute: world.pick([null, null, 3, 10]),
    maxStreams: world.pick([null, null, 1, 3])
  }
}

function drawLink(world: World, latencies: readonly number[]): LinkNature {
  const latencyMs = world.pick(latencies)
  return {
    latencyMs,
    jitterMs: Math.min(5, latencyMs / 2),
    pieces: world.pick(['whole', 'whole', 'whole', 'random', 'one'])
  }
}
