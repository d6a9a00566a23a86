import type { Stand } from './stand.ts'
import { median } from './statistics.ts'

/** One thing that is measured, `npm run bench -- --row <name>`. */
export interface Row {
  readonly name: string
  run(stand: Stand): Promise<readonly Line[]>
}

/** One line of the table. */
export interface Line {
  readonly what: string
  readonly unit: 'ms' | 'µs' | 'MB' | '%' | 's'
  /** One value for each round. */
  readonly gateway: readonly number[]
  /** Empty where there is nothing to compare with. */
  readonly passthrough: readonly number[]
  /** Figure of the design; `null` for lines that only inform. */
  readonly must: Must | null
  /** What the values rest on. */
  readonly samples: string
}

export interface Must {
  readonly most?: number
  readonly least?: number
}

const Columns = [
  'what',
  'gateway',
  'passthrough',
  'ratio',
  'must',
  '',
  'gateway min–max',
  'samples'
]

/** The lines as a table; figures are medians over the rounds. */
export function toTable(lines: readonly Line[]): string {
  const rows = [Columns, ...lines.map(toCells)]
  const widths = Columns.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
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

function toCells(line: Line): string[] {
  const { what, unit, gateway, passthrough, must, samples } = line
  const ours = median(gateway)
  const theirs = passthrough.length === 0 ? null : median(passthrough)
  const spread = `${toFigure(Math.min(...gateway))}–${toFigure(Math.max(...gateway))}`
  return [
    what,
    `${toFigure(ours)} ${unit}`,
    theirs === null ? '' : `${toFigure(theirs)} ${unit}`,
    theirs === null || theirs <= 0 ? '' : `${toFigure(ours / theirs)}×`,
    must === null
      ? ''
      : `${must.most === undefined ? '≥' : '≤'} ${must.most ?? must.least} ${unit}`,
    must === null ? '' : holds(ours, must) ? 'ok' : 'over',
    spread,
    samples
  ]
}

function holds(value: number, { most, least }: Must): boolean {
  return (most === undefined || value <= most) && (least === undefined || value >= least)
}

/** Three digits that matter. */
function toFigure(value: number): string {
  const size = Math.abs(value)
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
}
