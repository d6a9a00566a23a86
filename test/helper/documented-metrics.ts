import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One row of a table in docs/metrics.md. */
export interface DocumentedMetric {
  readonly name: string
  readonly type: string
  readonly labels: readonly string[]
}

const page = join(import.meta.dirname, '../../docs/metrics.md')

/** What all `gen_ai_…` have, which the page says once. */
const GEN_AI = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model']

/** All metrics that docs/metrics.md lists. */
export function documentedMetrics(): readonly DocumentedMetric[] {
  return readFileSync(page, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, name, type, labels] = /^\| `([a-z_]+)` \| (\w+) \| ([^|]*)\|/.exec(line) ?? []
      if (name === undefined || type === undefined || labels === undefined) return []
      const own = Array.from(labels.matchAll(/`(\w+)`/g), ([, label = '']) => label)
      return [{ name, type, labels: name.startsWith('gen_ai_') ? [...GEN_AI, ...own] : own }]
    })
}
