import { sortedJson } from '../sorted-json.ts'
import type { CreditsFindings } from './run-credits.ts'

/** The whole report, for people. Credits. */
export function creditsText(found: CreditsFindings): string {
  const { sums, violations, hasDisk } = found
  const lines = [
    ['seed', found.seed],
    ['ran', `${found.seconds} s, ${found.requests} requests, ${found.metered} answers metered`],
    ['answers by status', sortedJson(found.answers)],
    ['done to the gateway', sortedJson(found.done)],
    ...(hasDisk ? [] : [['full disk', 'none: this process may not mount one'] as const]),
    ['comparisons', found.comparisons],
    ['latest row that a kill took', `${Math.round(found.latestMs)} ms after its answer`]
  ].map(([name, value]) => `${String(name).padEnd(30)}${value}`)
  const table = [
    [
      'key',
      'told everywhere',
      'metered rows',
      'measured',
      'lost',
      '',
      'upstream metered',
      'left',
      'killed'
    ],
    ...sums.map(({ who, told, heard, measured, lost, metered, left, killed }) => [
      who,
      String(told),
      ...[heard, measured, lost].map((one) => (one / 1e6).toFixed(6)),
      '',
      ...[metered, left, killed].map((one) => (one / 1e6).toFixed(6))
    ])
  ].map((cells) => cells.map((cell) => cell.padEnd(cell === '' ? 2 : 18)).join(''))
  const verdict = `violations                    ${violations.length === 0 ? 'none' : violations.length}`
  const all = violations.slice(0, 20).map((each) => `VIOLATION ${each}`)
  return [...lines, '', ...table, '', verdict, ...all, ''].join('\n')
}
