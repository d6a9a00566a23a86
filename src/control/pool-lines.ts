import type { Config } from '../config/settings.ts'
import type { sharesAtStart } from './ledger-account.ts'

type Shares = Pick<ReturnType<typeof sharesAtStart>, 'maxConnections' | 'maxKeepalive'>

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

/** The share of the worker in a slot, counted from 0; its part of the reserve is in it and not for streams. */
export function shareLine(slot: number, shares: Shares): string {
  return (
    `HTTP connection pool share: worker=${slot + 1}, ` +
    `max_connections=${shares.maxConnections?.[slot] ?? 'None'}, ` +
    `max_keepalive=${shares.maxKeepalive?.[slot] ?? 'None'}`
  )
}

/** As Python prints a float: never without a decimal point. */
function secondsText(milliseconds: number | null): string {
  if (milliseconds === null) return 'None'
  const seconds = milliseconds / 1000
  return `${Number.isInteger(seconds) ? seconds.toFixed(1) : seconds}s`
}
