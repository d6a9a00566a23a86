import type { Finding, LintReport, Severity } from './report.ts'

const SEVERITIES: readonly Severity[] = ['refused', 'borderline', 'repaired']
const COLUMN = 'borderline  '.length

/** A report for people: two lines for each finding, and a last one that sums up. */
export function reportText({ dialect, findings }: LintReport): string {
  const counts = SEVERITIES.map((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length
    return `${count} ${severity}`
  })
  const sum = findings.length === 0 ? 'nothing to say' : counts.join(', ')
  return [...findings.map(findingText), `${dialect}: ${sum}\n`].join('')
}

function findingText({ severity, pointer, rule, message, fix }: Finding): string {
  const place = pointer === '' ? '(whole body)' : pointer
  const head = `${severity.padEnd(COLUMN)}${place}  ${rule}: ${message}`
  return `${printable(head)}\n${' '.repeat(COLUMN)}Fix: ${fix}\n`
}

/** Names in a request may hold what a terminal obeys. */
function printable(text: string): string {
  return text.toWellFormed().replaceAll(/\p{Cc}|\p{Cf}/gu, '\ufffd')
}
