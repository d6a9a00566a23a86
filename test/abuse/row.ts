import type { BystanderFigures } from './bystanders.ts'
import type { AbuseStand } from './stand.ts'

/** One way to end a worker or to hold others up: `npm run abuse -- --row <name>`. A file in `rows/` exports it as `row`. */
export interface AbuseRow {
  readonly name: string
  /** What is done to the gateway, and how much of it, in a few words. */
  readonly what: string
  /** Settings of the gateway beside the stand's own. */
  readonly settings?: Readonly<Record<string, string>>
  /** Starts what the gateway needs beside the simulator, before it starts itself; gives more settings. */
  prepare?(): Promise<Preparation>
  /** What the gateway calls the upstream's host; by default its address, which is not looked up. */
  readonly upstreamHost?: string
  /** Where more or less is allowed than for other rows. */
  readonly must?: Partial<AbuseBounds>
  /**
   * Attacks, and resolves once it is over; bystanders are watched all the while.
   *
   * Gives what was seen, in a few words for the table.
   *
   * @throws if an answer is not what it must be
   */
  attack(stand: AbuseStand): Promise<string>
}

export interface Preparation {
  readonly settings: Readonly<Record<string, string>>
  close(): void
}

export interface AbuseBounds {
  /** Workers that may die. */
  readonly deaths: number
  /** Running streams of others that may break. */
  readonly brokenStreams: number
  /** The slowest small request of another key, above the median of the same while nothing happens. */
  readonly smallAboveIdleMs: number
  /** The slowest probe of `/health`: one that is answered too late restarts the container. */
  readonly healthWorstMs: number
  /** 99 of 100 probes of `/health` are faster. */
  readonly healthP99Ms: number
}

export const Everyone: AbuseBounds = {
  deaths: 0,
  brokenStreams: 0,
  smallAboveIdleMs: 250,
  healthWorstMs: 250,
  healthP99Ms: 250
}

/** What a row did. */
export interface AbuseFindings {
  readonly row: AbuseRow
  /** What the attack saw, or why it failed. */
  readonly seen: string
  readonly hasFailed: boolean
  readonly deaths: number
  readonly outOfMemoryKills: number
  readonly idle: BystanderFigures
  readonly during: BystanderFigures
  /** Words of one client in what another sent or was answered. */
  readonly mixed: readonly string[]
  /** At most, of the container where one could be made, else of the process tree: files that were read are counted, too. */
  readonly memoryMb: number
  /** The highest proportional set size of all processes of the gateway together. */
  readonly peakPssMb: number
  readonly seconds: number
}

/** What must not be, a line each. */
export function violationsOf(findings: AbuseFindings): readonly string[] {
  const { row, deaths, during, idle } = findings
  const must = { ...Everyone, ...row.must }
  const violations: string[] = []
  const most = (what: string, value: number, bound: number): void => {
    if (!(value <= bound)) violations.push(`${row.name}: ${what} ${Math.round(value)} > ${bound}`)
  }
  if (findings.hasFailed) violations.push(`${row.name}: ${findings.seen}`)
  most('workers died', deaths, must.deaths)
  most('kills for memory', findings.outOfMemoryKills, 0)
  most('broken streams', during.streams.broken, must.brokenStreams)
  most('small request above idle, ms', aboveIdle(during, idle), must.smallAboveIdleMs)
  most('health at worst, ms', during.health.worstMs, must.healthWorstMs)
  most('health p99, ms', during.health.p99Ms, must.healthP99Ms)
  most('small requests failed', during.small.failed, must.brokenStreams)
  most('health probes failed', during.health.failed, 0)
  if (during.streams.whole === 0) violations.push(`${row.name}: no stream of others was whole`)
  if (during.small.count === 0) violations.push(`${row.name}: no small request was answered`)
  for (const what of findings.mixed) violations.push(`${row.name}: ${what}`)
  return violations
}

function aboveIdle(during: BystanderFigures, idle: BystanderFigures): number {
  return Math.max(0, during.small.worstMs - idle.small.medianMs)
}

const Columns = [
  'row',
  'deaths',
  'others: small, above idle',
  'health worst (bare server)',
  'p99',
  'streams whole',
  'PSS',
  'memory',
  'time',
  '',
  'what was done, and seen'
]

export function toTable(all: readonly AbuseFindings[]): string {
  const rows = [Columns, ...all.map(toCells)]
  const widths = Columns.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd()
    )
    .join('\n')
}

function toCells(findings: AbuseFindings): string[] {
  const { row, during, idle, deaths, peakPssMb, memoryMb, seconds, seen } = findings
  const { whole, broken } = during.streams
  return [
    row.name,
    String(deaths),
    `${aboveIdle(during, idle).toFixed(0)} ms of ${during.small.count}`,
    `${during.health.worstMs.toFixed(0)} ms (${during.bare.worstMs.toFixed(0)})`,
    `${during.health.p99Ms.toFixed(0)} ms`,
    `${whole} of ${whole + broken}`,
    `${peakPssMb.toFixed(0)} MB`,
    `${memoryMb.toFixed(0)} MB`,
    `${seconds.toFixed(0)} s`,
    violationsOf(findings).length === 0 ? 'ok' : 'FAILED',
    `${row.what}: ${seen}`
  ]
}
