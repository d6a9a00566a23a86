import { FleetFigures } from '../../src/control/fleet/fleet-figures.ts'
import { Metrics } from '../../src/observe/metrics.ts'
import { TurnCounts } from '../../src/control/usage/turn-counts.ts'
import { toRow } from './text.ts'

/** Labels of every `gen_ai_…`, which the page says once. */
const GEN_AI = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model']

/** The row of each metric of docs/metrics.md, by its name. */
function metricRows(): ReadonlyMap<string, string> {
  const metrics = new Metrics()
  new TurnCounts(metrics).note()
  const nothing = { holder: () => null, unshared: () => [], counts: () => null }
  new FleetFigures({ name: '', member: '', ...nothing }).noteMetrics(metrics)
  metrics.close()
  return new Map(
    metrics.registry.getMetricsAsArray().map((metric) => {
      const { name, type, help } = metric
      const labels = labelsOf(metric).filter(
        (one) => !name.startsWith('gen_ai_') || !GEN_AI.includes(one)
      )
      const shown = labels.map((label) => `\`${label}\``).join(', ')
      return [name, toRow([`\`${name}\``, String(type), shown, help])]
    })
  )
}

/** Its labels, which the types of prom-client leave out. */
function labelsOf(metric: object): readonly string[] {
  const names: unknown = Reflect.get(metric, 'labelNames')
  return Array.isArray(names) ? names.map(String) : []
}

/**
 * The page with rows as the code has them. Where a metric stands is for the page to say: a new one needs a line with its name.
 *
 * @throws {Error} a metric has no row, or a row no metric
 */
export function metricsPage(page: string): string {
  const left = metricRows()
  const seen = new Set<string>()
  const made = page.replaceAll(/^\| `([a-z_]+)` \|.*$/gm, (_, name: string) => {
    const row = left.get(name)
    if (row === undefined) throw new Error(`docs/metrics.md lists ${name}, which is no metric`)
    seen.add(name)
    return row
  })
  const missing = [...left.keys()].filter((name) => !seen.has(name))
  if (missing.length === 0) return made
  throw new Error(`docs/metrics.md needs a line "| \`NAME\` |" for ${missing.join(', ')}`)
}
