import type { Random } from './random.ts'

/** The budget that `.env` asks for. */
export interface PoolSize {
  readonly connections: number
  readonly idle: number
  readonly expiryS: number
  readonly patience: keyof typeof PATIENCE
}

/**
 * How long the gateway waits for the upstream and for a connection. In the storm every fault has its end within
 * seconds. In the calm there are none, and whoever is late waits for the CPU of a busy machine.
 */
const PATIENCE = {
  storm: { FIRST_TOKEN_TIMEOUT: '1.5', STREAMING_READ_TIMEOUT: '1', HTTP_POOL_TIMEOUT: '8' },
  calm: { FIRST_TOKEN_TIMEOUT: '30', STREAMING_READ_TIMEOUT: '30', HTTP_POOL_TIMEOUT: '45' }
} as const

/** Small enough for hundreds of clients to fight over, at least one connection for each worker. */
export function nextPoolSize(random: Random): PoolSize {
  const connections = random.between(8, 64)
  return {
    connections,
    idle: random.between(0, connections),
    expiryS: random.pick([0.3, 1, 5, 60])!,
    patience: 'storm'
  }
}

export function toEnvFile(size: PoolSize): Record<string, string> {
  const { connections, idle, expiryS, patience } = size
  return {
    ...PATIENCE[patience],
    HTTP_MAX_CONNECTIONS: String(connections),
    HTTP_MAX_KEEPALIVE_CONNECTIONS: String(idle),
    HTTP_KEEPALIVE_EXPIRY: String(expiryS),
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
