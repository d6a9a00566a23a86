/** Part of a limit that is used, counting what is reserved, for clients that show it. */
export interface Standing {
  /** A fraction of the limit; above 1 if requests cost more than was reserved. */
  readonly utilization: number
  /** Epoch ms; `null` for never. */
  readonly resetsAt: number | null
}

/** Limit that refused a request, in credits. */
export interface ReachedLimit {
  /** Name of the key. */
  readonly key: string
  readonly limit: number
  readonly period: 'day' | 'week' | 'month' | 'total'
  /** Less than what the request may cost; 0 if nothing is left. */
  readonly left: number
  /** Epoch ms; `null` for never. */
  readonly resetsAt: number | null
}
