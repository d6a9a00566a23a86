import { Random } from '../../chaos/random.ts'
import type { EngineProgram } from '../../helper/engine-process.ts'
import { until } from '../../helper/fleet-team.ts'
import { ChaosFleet } from './chaos-fleet.ts'
import { type RoundReport, runRound, STARVED_MS } from './run-round.ts'

export interface FleetChaosOptions {
  readonly program: EngineProgram
  readonly rounds: number
  /** Of the first round; each has the next. */
  readonly seed: number
  readonly signal: AbortSignal
  readonly tell: (line: string) => void
}

export interface FleetFindings {
  readonly rounds: number
  readonly calls: number
  readonly cut: number
  readonly refused: number
  /** Rounds in which the upstream saw as many connections as there might be. */
  readonly fullRounds: number
  readonly slowestSettleMs: number
  /** Rounds in which the machine was too busy for clients' answers to be judged. */
  readonly starvedRounds: number
  readonly violations: readonly string[]
}

const MAX = 24

/** Rounds of trouble, one after the other, of one fleet. */
export async function runFleetChaos(options: FleetChaosOptions): Promise<FleetFindings> {
  const ends: (() => unknown)[] = []
  try {
    const t = { teardown: (end: () => unknown) => void ends.unshift(end) }
    const fleet = await ChaosFleet.start(t, options.program, MAX)
    await until(() => fleet.names.every((name) => fleet.urlOf(name) !== ''))
    await fleet.team.allServe()
    return await runRounds(fleet, options)
  } finally {
    for (const end of ends) await end()
  }
}

async function runRounds(fleet: ChaosFleet, options: FleetChaosOptions): Promise<FleetFindings> {
  const { rounds, seed, signal, tell } = options
  const reports: RoundReport[] = []
  const violations: string[] = []
  const began = performance.now()
  for (let round = 0; round < rounds && !signal.aborted; round += 1) {
    const report = await runRound(fleet, new Random(seed + round))
    reports.push(report)
    tell(`seed ${seed + round}: ${toText(report)}`)
    violations.push(...report.violations.map((one) => `seed ${seed + round}: ${one}`))
    for (const one of report.violations) tell(`  VIOLATION ${one}`)
  }
  const sum = (of: (report: RoundReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0)
  const findings = {
    rounds: reports.length,
    calls: sum(({ calls }) => calls),
    cut: sum(({ cut }) => cut),
    refused: sum(({ refused }) => refused),
    fullRounds: reports.filter(({ census, limit }) => census === limit).length,
    slowestSettleMs: Math.max(0, ...reports.map(({ settledMs }) => settledMs)),
    starvedRounds: reports.filter((report) => report.starvedMs > STARVED_MS).length,
    violations
  }
  const seconds = Math.round((performance.now() - began) / 1e3)
  tell(`${JSON.stringify({ ...findings, violations: violations.length })} in ${seconds} s`)
  return findings
}

function toText(report: RoundReport): string {
  const { troubles, calls, refused, cut, census, limit, starvedMs, settledMs } = report
  const clients = `${calls} calls, ${refused} refused, ${cut} cut`
  const rest = `census ${census} of ${limit}, settled in ${Math.round(settledMs)} ms, starved ${Math.round(starvedMs)} ms`
  return `${troubles.join('; ')}: ${clients}; ${rest}`
}
