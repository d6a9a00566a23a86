import t from 'tap'
import { FleetFigures } from '../../../src/control/fleet/fleet-figures.ts'
import { Metrics } from '../../../src/observe/metrics.ts'
import { toPrometheusText } from '../../../src/observe/snapshots.ts'

t.test('a fleet among the metrics of its gateway', async (t) => {
  const metrics = new Metrics()
  t.teardown(() => metrics.close())
  const text = async () => toPrometheusText([await metrics.snapshot()])
  t.notMatch(await text(), 'kiro_gateway_fleet_', 'nothing is told of a gateway that is alone')
  const figures = new FleetFigures({
    name: 'kiro',
    member: 'a',
    holder: () => null,
    unshared: () => [],
    counts: () => ({ commands: 7, failures: 2 })
  })
  for (const look of ['first', 'second']) {
    figures.noteMetrics(metrics)
    const told = await text()
    t.match(told, '\nkiro_gateway_fleet_phase{phase="joining"} 1\n', look)
    t.match(told, '\nkiro_gateway_fleet_members{state="awaited"} 0\n')
    t.match(told, '\nkiro_gateway_fleet_engine_commands_total 7\n', 'a total is told, not added')
    t.match(told, '\nkiro_gateway_fleet_engine_failures_total 2\n')
    t.notMatch(told, /\nkiro_gateway_fleet_contact_seconds \d/, 'no contact yet')
  }
})
