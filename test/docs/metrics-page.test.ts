import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Metrics } from '../../src/observe/metrics.ts'

const [, section = ''] = readFileSync(
  join(import.meta.dirname, '../../docs/operations.md'),
  'utf8'
).split('\n## Metrics\n')
const [page = ''] = section.split('\n## ')

t.test('docs/operations.md lists the metrics that there are, and no others', async (t) => {
  const metrics = new Metrics()
  t.teardown(() => metrics.close())
  const names = (await metrics.snapshot()).map((metric) => {
    if (!('name' in metric) || typeof metric.name !== 'string') throw new Error('it has no name')
    return metric.name.replace(/^kiro_gateway_/, '')
  })
  const listed = page
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .flatMap((line) =>
      [...line.matchAll(/`([a-z_]+)(?:\{[a-z,]+\})?`/g)].map(([, name = '']) => name)
    )
  t.same(listed.toSorted(), names.toSorted())
})
