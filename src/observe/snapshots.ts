import { AggregatorRegistry } from './prom-client.ts'

/** The metrics of one process at one moment, as prom-client writes them to JSON. */
export type MetricsSnapshot = readonly object[]

/** Content type of the text that `toPrometheusText` makes. */
export const PROMETHEUS_CONTENT_TYPE = AggregatorRegistry.PROMETHEUS_CONTENT_TYPE

/** The snapshots of all processes as one: sums, and the maximum where a sum would mean nothing. */
export async function mergeSnapshots(
  snapshots: readonly MetricsSnapshot[]
): Promise<MetricsSnapshot> {
  return (await merged(snapshots).getMetricsAsJSON()).map((metric) => ({ ...metric }))
}

/** The snapshots of all processes in Prometheus' text format. */
export function toPrometheusText(snapshots: readonly MetricsSnapshot[]): Promise<string> {
  return merged(snapshots).metrics()
}

/**
 * Counts of a worker that is gone. Without them the sums would fall when a worker is replaced, which Prometheus takes
 * for a restart of everything.
 */
export function withoutGauges(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot.filter((metric) => !('type' in metric && metric.type === 'gauge'))
}

function merged(snapshots: readonly MetricsSnapshot[]) {
  return AggregatorRegistry.aggregate(snapshots.map((snapshot) => [...snapshot]))
}
