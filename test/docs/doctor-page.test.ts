import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FindingTable } from '../../src/cli/doctor/checks/finding.ts'
import { PROBES } from '../../src/cli/doctor/probe/ask-probes.ts'
import { idleProbe } from '../../src/cli/doctor/probe/idle-probe.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/doctor.md'), 'utf8')

/** First and second cell of the rows whose first cell is code. */
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) =>
    line
      .split('|')
      .slice(1, 3)
      .map((cell) => cell.replaceAll('`', '').trim())
  )

t.test('docs/doctor.md', async (t) => {
  const findings = Object.entries(FindingTable).map(([id, { level }]) => [id, level])
  t.same(
    rows.filter(([id]) => !/^P\d/.test(id ?? '')),
    findings,
    'has every finding and its level'
  )
  const probes = [...PROBES, idleProbe(60)].map(({ id, answers }) => [
    id,
    Object.keys(answers)
      .filter((name) => name !== 'unclear')
      .join(', ')
  ])
  t.same(
    rows.filter(([id]) => /^P\d/.test(id ?? '')),
    probes,
    'has every probe and its answers'
  )
})
