/**
 * So long anybody may wait, however short HTTP_POOL_TIMEOUT is: the other workers have to be asked for what they have
 * idle, and what is busy here says nothing about them.
 */
const LENDING_MS = 100

/** From when HTTP_POOL_TIMEOUT is counted for a request that begins to wait now: its arrival, or later. */
export function countedFrom(arrivedAt: number, now: number, poolTimeoutMs: number | null): number {
  return poolTimeoutMs === null ? arrivedAt : Math.max(arrivedAt, now + LENDING_MS - poolTimeoutMs)
}
