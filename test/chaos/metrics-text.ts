/** The samples of one scrape, by name and labels. */
export interface Scrape {
  /** Sum of all samples of this name whose labels fit; 0 of none. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number
  /** Sums of the samples of this name, by the values of one label. */
  sumBy(name: string, label: string): Readonly<Record<string, number>>
}

const SAMPLE = /^kiro_gateway_(\w+)(?:\{(.*)\})? (\S+)$/

/** Reads Prometheus' text format, as far as it is needed here. */
export function parseMetrics(text: string): Scrape {
  const samples = text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = SAMPLE.exec(line) ?? []
    return name === undefined ? [] : [{ name, labels: parseLabels(labels), value: Number(value) }]
  })
  return {
    sum: (name, labels = {}) =>
      samples
        .filter((sample) => sample.name === name)
        .filter((sample) =>
          Object.entries(labels).every(([key, value]) => sample.labels[key] === value)
        )
        .reduce((sum, { value }) => sum + value, 0),
    sumBy: (name, label) => {
      const sums: Record<string, number> = {}
      for (const sample of samples) {
        const key = sample.labels[label]
        if (sample.name === name && key !== undefined) sums[key] = (sums[key] ?? 0) + sample.value
      }
      return sums
    }
  }
}

function parseLabels(text: string): Readonly<Record<string, string>> {
  const pairs = text.matchAll(/(\w+)="([^"]*)"/g)
  return Object.fromEntries([...pairs].map(([, name = '', value = '']) => [name, value]))
}
