import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FleetFigures } from '../../src/control/fleet/fleet-figures.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { TurnCounts } from '../../src/observe/turn-counts.ts'
import { documentedMetrics } from '../helper/documented-metrics.ts'

t.test(
  'docs/metrics.md lists the metrics that there are, with their types, and no others',
  async (t) => {
    const metrics = new Metrics()
    t.teardown(() => metrics.close())
    const fleet = new FleetFigures({
      name: 'kiro',
      member: 'a',
      holder: () => null,
      unshared: () => [],
      counts: () => null
    })
    const snapshots = [
      ...(await metrics.snapshot()),
      ...new TurnCounts().snapshot(),
      ...fleet.snapshot()
    ]
    const there = snapshots.map((metric) => {
      const name: unknown = Reflect.get(metric, 'name')
      const type: unknown = Reflect.get(metric, 'type')
      return `${String(name)} ${String(type)}`
    })
    const listed = documentedMetrics().map(({ name, type }) => `${name} ${type}`)
    t.same(listed.toSorted(), [...new Set(there)].toSorted())
  }
)

t.test('docs/operations.md sends its readers there', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
  t.match(page, '(metrics.md)')
})
