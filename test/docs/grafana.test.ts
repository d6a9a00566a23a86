import { readFileSync } from 'node:fs'
import t from 'tap'
import { documentedMetrics } from '../helper/documented-metrics.ts'
import { GRAFANA_FILE } from '../helper/prometheus.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly datasource?: { readonly uid: string }
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } }
  readonly targets?: readonly {
    readonly refId: string
    readonly expr: string
    readonly datasource: { readonly uid: string }
  }[]
}

const dashboard: { readonly panels: readonly Panel[]; readonly uid: string } = JSON.parse(
  readFileSync(GRAFANA_FILE, 'utf8')
)
const panels = dashboard.panels.filter(({ type }) => type !== 'row')

t.test('docs/grafana/kiro-gateway.json', (t) => {
  t.test(
    'every panel says what it shows, in which unit, and takes the chosen Prometheus',
    async (t) => {
      t.ok(panels.length > 40)
      for (const { title, description = '', datasource, fieldConfig, targets = [] } of panels) {
        const isWhole =
          description.length > 20 &&
          (fieldConfig?.defaults.unit ?? '') !== '' &&
          targets.length > 0 &&
          [datasource, ...targets.map((one) => one.datasource)].every(
            (one) => one?.uid === '${datasource}'
          )
        t.ok(isWhole, title)
      }
      const names = panels.map(({ title }) => title)
      t.equal(new Set(names).size, names.length, 'no title twice')
      t.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length)
    }
  )

  t.test(
    'queries are of metrics that there are, and of the gateways that are chosen',
    async (t) => {
      const known = new Set(documentedMetrics().map(({ name }) => name))
      for (const { expr } of panels.flatMap(({ targets = [] }) => targets)) {
        const selectors = [...expr.matchAll(/([a-z_]+)\{([^}]*)\}/g)]
        t.not(selectors.length, 0, expr)
        for (const [, name = '', labels = ''] of selectors) {
          t.ok(known.has(name) || known.has(name.replace(/_(bucket|count|sum)$/, '')), name)
          t.match(labels, 'instance=~"$instance"')
        }
      }
    }
  )

  t.test('panels fill their rows and none covers another', async (t) => {
    const taken = new Map<string, string>()
    for (const { title, gridPos } of dashboard.panels) {
      const { x, y, w, h } = gridPos
      t.ok(x >= 0 && x + w <= 24, title)
      for (let column = x; column < x + w; column++) {
        for (let line = y; line < y + h; line++) {
          const place = `${column}/${line}`
          if (taken.has(place)) t.fail(`${title} covers ${taken.get(place)}`)
          taken.set(place, title)
        }
      }
    }
    t.equal(taken.size % 24, 0, 'no gaps')
  })
  t.end()
})
