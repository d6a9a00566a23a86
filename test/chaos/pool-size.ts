import type { Random } from './random.ts'

/** The budget that `.env` asks for. */
export interface PoolSize {
  readonly connections: number
  readonly idle: number
  readonly expiryS: number
}

/** Small enough for hundreds of clients to fight over, at least one connection for each worker. */
export function nextPoolSize(random: Random): PoolSize {
  const connections = random.between(8, 64)
  return {
    connections,
    idle: random.between(0, connections),
    expiryS: random.pick([0.3, 1, 5, 60])!
  }
}

export function toEnvFile({ connections, idle, expiryS }: PoolSize): Record<string, string> {
  return {
    HTTP_MAX_CONNECTIONS: String(connections),
    HTTP_MAX_KEEPALIVE_CONNECTIONS: String(idle),
    HTTP_KEEPALIVE_EXPIRY: String(expiryS),
    HTTP_POOL_TIMEOUT: '8',
    HTTP_POOL_MAX_WAITING: '400'
  }
}

/** What is kept for the primary's own calls. */
export function reservedOf({ connections }: PoolSize): number {
  return Math.min(4, Math.floor(connections / 16))
}

/** Permits that requests may have. */
export function usableOf(size: PoolSize): number {
  return size.connections - reservedOf(size)
}
