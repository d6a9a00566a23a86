/*
 * State of a fleet of gateways, as one of them has seen it last: for `/readyz`, the dashboard, metrics and people. Names are
 * those of `FLEET_NAME` and `FLEET_MEMBER`.
 */

export interface FleetStanding {
  readonly name: string
  /** The gateway that tells this. */
  readonly member: string
  /** Stage of its life: it is taken in, serves, takes nothing new, or has closed everything. */
  readonly stage: 'joining' | 'serving' | 'closing' | 'cut'
  /** Why it can't serve; `null` where it can. */
  readonly problem: string | null
  /** Kinds of records that this gateway cannot read or write although the engine answers: of these each has its own for now. */
  readonly unshared: readonly string[]
  /** `learning`: nothing is granted beyond what living members have. `null` where nothing has been seen yet, like the next. */
  readonly phase: 'open' | 'learning' | null
  /** Goes up whenever the engine has lost what it knew. */
  readonly era: number | null
  /** Limit of all gateways together. */
  readonly maxConnections: number
  /** Unassigned connections among these. */
  readonly free: number
  /** `FLEET_REPLICAS`, the largest of all members. */
  readonly replicas: number
  /** Gateway that renews the sign-in of all; `null` where none does, or it is not known. */
  readonly holder: string | null
  readonly members: readonly FleetMemberStanding[]
  /** Gateways that may have connections and have not come in this era. */
  readonly awaited: readonly string[]
}

export interface FleetMemberStanding {
  readonly name: string
  /** Connections of its lease, used or not. */
  readonly connections: number
  /** Requests that wait for more. */
  readonly waiting: number
  /** Not heard of for a while. */
  readonly isSilent: boolean
}

/** Facts that a gateway alone knows of itself. */
export interface OwnStanding {
  /** Milliseconds since the last confirmed sign of life was sent, from which its lease counts; `null` where there is none. */
  readonly contactMs: number | null
  /** Permits since the start: what was granted here, and what was given back. */
  readonly granted: number
  readonly returned: number
}
