import { Chance } from './chance.ts'
import {
  ALL_FAULTS,
  canHitFleet,
  type Character,
  DISK_FAULTS,
  type FaultName,
  FLEET_FAULTS,
  POWER_FAULTS
} from './character.ts'
import type { KeyPlan } from './keys.ts'
import type { Load } from './reproduce.ts'

/** What a world is like under a load. Drawn apart from the rest, so that nothing else of the world changes. */
export function characterOf(seed: number, load: Load, drawn: Character): Character {
  switch (load) {
    case 'even':
      return drawn
    case 'days':
      return withDays(seed, drawn)
    case 'busy':
      return whenBusy(seed, drawn)
  }
}

/** A world of days instead of hours: few people, who think for longer, keys with limits by the calendar, records that are dropped. */
function withDays(seed: number, character: Character): Character {
  const chance = Chance.for(seed, 'days')
  const retentionDays = chance.pick([1, 2, 90])
  return {
    ...character,
    env: { ...character.env, USAGE_RETENTION_DAYS: String(retentionDays) },
    agents: chance.pick([1, 2, 4]),
    thinkMs: chance.pick([120_000, 300_000, 900_000]),
    fleet: null, // its signs of life would be most of what happens
    faults: character.faults.filter((name) => !FLEET_FAULTS.includes(name)),
    faultMs: chance.pick([600_000, 3_600_000, 14_400_000]),
    keys: character.keys.map((plan) => ({ ...plan, period: chance.pick(PERIODS) })),
    signIn:
      character.signIn === null ? null : { lifetimeS: chance.pick([300, 1_200, 3_600, 28_800]) }
  }
}

const PERIODS: readonly KeyPlan['period'][] = ['day', 'day', 'week', 'month', 'total']

/** More clients than connections, which hardly think, and six faults of which one happens every few seconds. */
function whenBusy(seed: number, character: Character): Character {
  const chance = Chance.for(seed, 'busy')
  const workers = chance.pick([2, 2, 3])
  const maxConnections = workers + chance.pick([0, 1, 2])
  const drawn = drawSome(chance, ALL_FAULTS)
  const some = character.fleet === null ? drawn : drawn.filter(canHitFleet)
  const faults = [...some, ...character.faults.filter((name) => OF_SOME_WORLDS.includes(name))]
  const { signIn, env, toUpstream, toGateway } = character
  const isRenewed = signIn !== null && !faults.includes('clock')
  return {
    ...character,
    workers,
    maxConnections,
    env: {
      ...env,
      HTTP_MAX_CONNECTIONS: String(maxConnections),
      HTTP_MAX_KEEPALIVE_CONNECTIONS: String(maxConnections)
    },
    agents: chance.pick([8, 12]),
    talkers: 0, // mistakes were found in these worlds as they are
    thinkMs: chance.pick([500, 2_000]),
    wishedFaults: 0.2,
    keys: character.keys.map(whenRich),
    longTalks: 0.02,
    signIn: isRenewed ? signIn : null,
    faults: isRenewed ? [...faults, ...DISK_FAULTS] : faults,
    faultMs: chance.pick([5_000, 15_000]),
    toUpstream: { ...toUpstream, pieces: 'whole' },
    toGateway: { ...toGateway, pieces: 'whole' }
  }
}

const FAULTS_WHEN_BUSY = 6
/** What not every world can have, or has. */
const OF_SOME_WORLDS: readonly FaultName[] = [...FLEET_FAULTS, ...POWER_FAULTS]

/** Refusals would take most of the load away. */
function whenRich(plan: KeyPlan): KeyPlan {
  return { ...plan, credits: plan.credits === null ? null : 1_000, requestsPerMinute: null }
}

function drawSome(chance: Chance, names: readonly FaultName[]): readonly FaultName[] {
  const left = [...names]
  const drawn: FaultName[] = []
  while (drawn.length < FAULTS_WHEN_BUSY) {
    const name = chance.pick(left)
    left.splice(left.indexOf(name), 1)
    drawn.push(name)
  }
  return drawn
}
