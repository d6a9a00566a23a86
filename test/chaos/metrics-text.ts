/** The samples of one scrape, by name and labels. */
export interface Scrape {
  /** Sum of all samples of this name whose labels fit; 0 of none. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number
}

const SAMPLE = /^kiro_gateway_(\w+)(?:\{(.*)\})? (\S+)$/

/** Reads Prometheus' text format, as far as it is needed here. */
export function parseMetrics(text: string): Scrape {
  const samples = text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = SAMPLE.exec(line) ?? []
    return name === undefined ? [] : [{ name, labels, value: Number(value) }]
  })
  return {
    sum: (name, labels = {}) =>
      samples
        .filter((sample) => sample.name === name)
        .filter((sample) =>
          Object.entries(labels).every(([key, value]) =>
            sample.labels.includes(`${key}="${value}"`)
          )
        )
        .reduce((sum, { value }) => sum + value, 0)
  }
}
