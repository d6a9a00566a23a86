import { AggregatorRegistry } from './prom-client.ts'

export type MetricsSnapshot = readonly object[]

export const PROMETHEUS_CONTENT_TYPE = AggregatorRegistry.PROMETHEUS_CONTENT_TYPE

/** Merges all processes: sums, or the maximum where a sum would mean nothing. */
export async function mergeSnapshots(
  snapshots: readonly MetricsSnapshot[]
): Promise<MetricsSnapshot> {
  return (await merged(snapshots).getMetricsAsJSON()).map((metric) => ({ ...metric }))
}

export function toPrometheusText(snapshots: readonly MetricsSnapshot[]): Promise<string> {
  return merged(snapshots).metrics()
}

/** Keeps the counts of a worker that is gone. If sums fell, Prometheus would assume a restart. */
export function withoutGauges(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot.filter((metric) => !('type' in metric && metric.type === 'gauge'))
}

function merged(snapshots: readonly MetricsSnapshot[]) {
  return AggregatorRegistry.aggregate(snapshots.map((snapshot) => [...snapshot]))
}
