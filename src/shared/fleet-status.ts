/* State of a fleet as one gateway last saw it, for `/readyz`, the dashboard, metrics and people. */

export interface FleetStatus {
  readonly name: string
  readonly member: string
  readonly stage: 'joining' | 'serving' | 'closing' | 'cut'
  readonly problem: string | null
  /** Kinds of records that cannot be read or written although Valkey answers; this gateway has its own for now. */
  readonly unshared: readonly string[]
  /** `learning`: nothing is granted beyond what living members have. `null` until something was seen, like `era`. */
  readonly phase: 'open' | 'learning' | null
  /** Grows whenever Valkey has lost its data. */
  readonly era: number | null
  readonly maxConnections: number
  readonly free: number
  readonly replicas: number
  /** Gateway that renews the shared sign-in; `null` if none or unknown. */
  readonly holder: string | null
  readonly members: readonly FleetMemberStatus[]
  /** Gateways that may hold connections and have not joined in this era. */
  readonly awaited: readonly string[]
}

export interface FleetMemberStatus {
  readonly name: string
  readonly connections: number
  readonly waiting: number
  readonly isSilent: boolean
}

export interface OwnFleetStatus {
  /** Ms since the last confirmed sign of life was sent, from which its lease counts; `null` if there is none. */
  readonly contactMs: number | null
  readonly granted: number
  readonly returned: number
}
