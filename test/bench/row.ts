import type { Stand, Version } from './stand.ts'
import { median } from './statistics.ts'

/** One thing that is measured, `npm run bench -- --row <name>`. */
export interface Row {
  readonly name: string
  /** Starts gateways of this version, whatever the stand uses. */
  readonly isOwn?: true
  /** Measures the version before in turns with this one; for others it has a run of its own. */
  readonly takesTurns?: true
  run(stand: Stand, before?: Version): Promise<readonly Line[]>
}

/** One line of the table. */
export interface Line {
  readonly what: string
  readonly unit: 'ms' | 'µs' | 'KB' | 'MB' | '%' | 's'
  /** One value for each round. */
  readonly gateway: readonly number[]
  /** Empty where there is nothing to compare with. */
  readonly passthrough: readonly number[]
  /** Of the other pipes, and of the gateway that was there before; left out where they were not measured. */
  readonly translating?: readonly number[]
  readonly dutiful?: readonly number[]
  readonly before?: readonly number[]
  /** Figure of the design; `null` for lines that only inform. */
  readonly must: Must | null
  /** What the values rest on. */
  readonly samples: string
}

export interface Must {
  readonly most?: number
  readonly least?: number
  /** At most this many times what the translating pipe takes. */
  readonly times?: number
}

/** What the gateway is beside, where anything was measured of it. */
const Others = ['passthrough', 'translating', 'dutiful', 'before'] as const

/** The lines as a table; figures are medians over the rounds. */
export function toTable(lines: readonly Line[]): string {
  const others = Others.filter((name) => lines.some((line) => (line[name]?.length ?? 0) > 0))
  const columns = [
    'what',
    'gateway',
    ...others.flatMap((name) => [name, 'ratio']),
    'must',
    '',
    'gateway min–max',
    'samples'
  ]
  const rows = [columns, ...lines.map((line) => toCells(line, others))]
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd()
    )
    .map((row) => `${row}\n`)
    .join('')
}

function toCells(line: Line, others: readonly (typeof Others)[number][]): string[] {
  const { what, unit, gateway, translating = [], must, samples } = line
  const ours = median(gateway)
  const spread = `${toFigure(Math.min(...gateway))}–${toFigure(Math.max(...gateway))}`
  return [
    what,
    `${toFigure(ours)} ${unit}`,
    ...others.flatMap((name) => beside(ours, line[name] ?? [], unit)),
    must === null ? '' : toGoal(must, unit),
    must === null ? '' : holds(ours, median(translating), must) ? 'ok' : 'over',
    spread,
    samples
  ]
}

/** What another took, and how many times that ours is. */
function beside(ours: number, others: readonly number[], unit: string): string[] {
  if (others.length === 0) return ['', '']
  const theirs = median(others)
  return [`${toFigure(theirs)} ${unit}`, theirs <= 0 ? '' : `${toFigure(ours / theirs)}×`]
}

function toGoal({ most, least, times }: Must, unit: string): string {
  if (times !== undefined) return `≤ ${times} × translating`
  return `${most === undefined ? '≥' : '≤'} ${most ?? least} ${unit}`
}

function holds(value: number, translating: number, { most, least, times }: Must): boolean {
  if (times !== undefined) return value <= times * translating
  return (most === undefined || value <= most) && (least === undefined || value >= least)
}

/** Three digits that matter. */
function toFigure(value: number): string {
  const size = Math.abs(value)
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
}
