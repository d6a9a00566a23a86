import { setTimeout as delay } from 'node:timers/promises'
import { sealOf } from '../../../src/fleet/fleet-secrets.ts'
import { type FleetState, permitsOf } from '../../../src/fleet/fleet-state.ts'
import { ValkeyStore } from '../../../src/fleet/valkey-store.ts'
import type { Random } from '../../chaos/random.ts'
import { startChat } from '../../helper/chat-client.ts'
import { FLEET_TEST_SECRET, isReady } from '../../helper/fleet-team.ts'
import type { ChaosFleet } from './chaos-fleet.ts'
import { CpuWatch } from './cpu-watch.ts'
import {
  allOf,
  drawTroubles,
  type Excuses,
  excusesFor,
  toText,
  type Trouble
} from './fleet-trouble.ts'
import { type Outcome, SkewedLoad } from './skewed-load.ts'

export interface RoundReport {
  readonly troubles: readonly string[]
  readonly calls: number
  readonly refused: number
  readonly cut: number
  /** Most connections at once, and how many there might have been. */
  readonly census: number
  readonly limit: number
  /** For so long the slowest process has waited for a CPU. */
  readonly starvedMs: number
  /** From the end of all trouble until everything was where it belongs. */
  readonly settledMs: number
  readonly violations: readonly string[]
}

const CLIENTS = 40
/** After the last trouble: a lost lease takes 13 s, and the machine may be busy. */
const PATIENCE_MS = 90_000
/** Of the budget, with all the load on one gateway: what the others keep, and the lane that streams never get. */
const KEPT = 2 + 3
/** A fleet that does not get a CPU for so long may not hear of its engine in time; what clients see then is not judged. */
export const STARVED_MS = 3_000
const LONG = 'sim:events=400 sim:gap=50'

/** One round: load, trouble, and then everything must be as before. */
export async function runRound(fleet: ChaosFleet, random: Random): Promise<RoundReport> {
  const { names } = fleet
  const { simulator } = fleet.team
  const troubles = drawTroubles(random, names)
  const sizes = troubles.filter(({ kind }) => kind === 'resize').map(({ amount }) => amount)
  const limit = Math.max(fleet.max, ...sizes)
  simulator.resetStats()
  const urlOf = (name: string): string => fleet.urlOf(name)
  const load = new SkewedLoad({ random, names, urlOf, clients: CLIENTS })
  const turns = setInterval(() => load.turn(), 1_500)
  const cpu = new CpuWatch(() => fleet.pids)
  if (random.chance(0.5)) await fleet.takeSnapshot()
  await Promise.all(troubles.map((one) => happen(fleet, one)))
  await delay(500)
  clearInterval(turns)
  fleet.mend()
  const began = performance.now()
  const outcomes = await load.end()
  const census = simulator.stats().connections.max
  const starvedMs = cpu.end()
  const excuses = starvedMs > STARVED_MS ? allOf(names) : excusesFor(troubles, names)
  const violations = [...judge(outcomes, excuses), ...fleet.surprises.splice(0)]
  if (census > limit) violations.push(`${census} connections of ${limit}`)
  const rest = await settle(fleet)
  if (rest !== null) violations.push(rest)
  const settledMs = performance.now() - began
  if (rest === null) violations.push(...(await proveBudget(fleet, random.pick(names) ?? '')))
  return {
    troubles: troubles.map(toText),
    ...countsOf(outcomes),
    census,
    limit,
    starvedMs,
    settledMs,
    violations
  }
}

function countsOf(outcomes: readonly Outcome[]) {
  const count = (what: Outcome['what']): number =>
    outcomes.filter((one) => one.what === what).length
  return { calls: outcomes.length, refused: count('refused'), cut: count('cut') }
}

async function happen(fleet: ChaosFleet, trouble: Trouble): Promise<void> {
  await delay(trouble.afterMs)
  if (trouble.name !== null) {
    await happenTo(fleet, trouble)
    return
  }
  switch (trouble.kind) {
    case 'wipe':
      return fleet.wipe()
    case 'Valkey restarts empty':
      return fleet.restartEngine('none')
    case 'Valkey restarts with its state':
      return fleet.restartEngine('present')
    case 'Valkey restarts with an old state':
      return fleet.restartEngine('old')
    case 'Valkey stands still':
      fleet.team.engine.pause()
      await delay(trouble.forMs)
      fleet.team.engine.goOn()
      return
    case 'resize':
      fleet.resize(trouble.amount)
      return
  }
}

async function happenTo(
  fleet: ChaosFleet,
  { kind, name, forMs, amount }: Trouble & { readonly name: string }
): Promise<void> {
  switch (kind) {
    case 'kill worker':
      fleet.signal(name, 'worker', 'SIGKILL')
      return
    case 'kill primary':
    case 'kill tree': {
      const gateway = fleet.signal(name, kind === 'kill tree' ? 'tree' : 'primary', 'SIGKILL')
      await delay(forMs)
      return fleet.replace(name, gateway)
    }
    case 'leave':
      return fleet.replace(name, fleet.signal(name, 'primary', 'SIGTERM'))
    case 'restart':
      fleet.signal(name, 'primary', 'SIGUSR2')
      return
    case 'clock':
      fleet.setClock(name, amount)
      return
    case 'cut':
      return fleet.proxyOf(name).cutFor(forMs)
    case 'hold':
      return fleet.proxyOf(name).holdFor(forMs)
    case 'stop worker':
      return fleet.stopFor(name, 'worker', forMs)
    case 'stop primary':
      return fleet.stopFor(name, 'primary', forMs)
    case 'stop tree':
      return fleet.stopFor(name, 'tree', forMs)
  }
}

/** What clients saw that they should not have. */
function judge(outcomes: readonly Outcome[], { cut, refused }: Excuses): readonly string[] {
  return outcomes
    .filter(({ what, name }) => {
      return (what === 'cut' && !cut.has(name)) || (what === 'refused' && !refused.has(name))
    })
    .map(({ what, name, beganMs, endedMs, text }) => {
      const times = `${Math.round(beganMs)} to ${Math.round(endedMs)} ms`
      return `${what} at ${name}, ${times}: ${text}`
    })
    .slice(0, 5)
}

/** Until all serve and every permit is where it belongs; what is wrong otherwise. */
async function settle(fleet: ChaosFleet): Promise<string | null> {
  const engine = await ValkeyStore.open({
    url: fleet.team.engine.url,
    name: 'kiro',
    seal: await sealOf({ name: 'kiro', secrets: [FLEET_TEST_SECRET], secretFile: null }),
    replicas: 0
  })
  const deadline = performance.now() + PATIENCE_MS
  try {
    for (;;) {
      const wrong = await unsettled(fleet, engine)
      if (wrong === null) return null
      if (performance.now() > deadline) return `not settled: ${wrong}`
      await delay(50)
    }
  } finally {
    await engine.close()
  }
}

async function unsettled(fleet: ChaosFleet, engine: ValkeyStore): Promise<string | null> {
  for (const name of fleet.names) {
    if (!(await isReady(fleet.team.get(name)))) return `${name} does not serve`
  }
  const read = await engine.read().catch(() => null)
  const state = read?.reading.type === 'state' ? read.reading.state : null
  return state !== null && isWhole(state, fleet.max, fleet.names.length)
    ? null
    : JSON.stringify(read?.reading ?? null)
}

function isWhole({ phase, max, members, awaited }: FleetState, limit: number, count: number) {
  const entries = Object.values(members)
  const leased = entries.reduce((sum, entry) => sum + permitsOf(entry), 0)
  const isComplete = entries.length === count && Object.keys(awaited).length === 0
  return phase === 'open' && max === limit && isComplete && leased === limit
}

/** All permits are there: with all the load on one gateway it has them. */
async function proveBudget(fleet: ChaosFleet, name: string): Promise<readonly string[]> {
  const { simulator } = fleet.team
  const { max } = fleet
  simulator.resetStats()
  const calls = Array.from({ length: max + 5 }, () => startChat(fleet.urlOf(name), LONG))
  const deadline = performance.now() + PATIENCE_MS
  let most = 0
  while (most < max - KEPT && performance.now() < deadline) {
    most = Math.max(most, simulator.stats().inFlight)
    await delay(10)
  }
  for (const { request } of calls) request.destroy()
  while (simulator.stats().inFlight > 0 && performance.now() < deadline) await delay(10)
  const census = simulator.stats().connections.max
  const violations: string[] = []
  if (most < max - KEPT) violations.push(`${most} of ${max} at ${name} under load`)
  if (census > max) violations.push(`${census} connections of ${max} under load`)
  return violations
}
