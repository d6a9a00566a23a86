import type { Config } from '../config/settings.ts'

/**
 * The line that says what the pool was configured with. Operators grep for it, and it is worded as in the gateways
 * they come from, which is why it speaks Python.
 */
export function poolLine({ pool }: Pick<Config, 'pool'>): string {
  const { maxConnections, maxKeepalive, keepaliveExpiryMs, poolTimeoutMs } = pool
  return (
    'HTTP connection pool configured: ' +
    `max_connections=${maxConnections ?? 'None'}, ` +
    `max_keepalive=${maxKeepalive ?? 'None'}, ` +
    `keepalive_expiry=${secondsText(keepaliveExpiryMs)}, ` +
    `pool_timeout=${secondsText(poolTimeoutMs)}`
  )
}

/** One worker's share of it; its part of the reserve is not for streams. */
export function shareLine(
  worker: number,
  share: { readonly maxConnections: number | null; readonly maxKeepalive: number | null }
): string {
  const { maxConnections, maxKeepalive } = share
  return (
    `HTTP connection pool share: worker=${worker}, ` +
    `max_connections=${maxConnections ?? 'None'}, max_keepalive=${maxKeepalive ?? 'None'}`
  )
}

/** As Python prints a float: never without a decimal point. */
function secondsText(milliseconds: number | null): string {
  if (milliseconds === null) return 'None'
  const seconds = milliseconds / 1000
  return `${Number.isInteger(seconds) ? seconds.toFixed(1) : seconds}s`
}
