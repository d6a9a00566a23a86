import { uptime } from 'node:os'

/** Ms by three clocks: monotonic (stops while the machine sleeps), wall (set by people), uptime (coarse). */
export interface Instant {
  readonly mono: number
  readonly wall: number
  readonly up: number
}

/** Comparable among processes of one machine. */
export function instantNow(): Instant {
  return {
    mono: Number(process.hrtime.bigint() / 1_000n) / 1e3,
    wall: Date.now(),
    up: uptime() * 1e3
  }
}

/** Returns the largest of the three differences, for what must expire in time. */
export function elapsedMs(since: Instant, now: Instant): number {
  return Math.max(now.mono - since.mono, now.wall - since.wall, now.up - since.up)
}

/** Times in ms since the last confirmed sign of life of a fleet's member; they follow from `FLEET_LEASE`. */
export interface FleetTimes {
  readonly beatMs: number
  /** Nothing new is begun from here on. */
  readonly closesMs: number
  /** All connections to the upstream are reset. */
  readonly cutsMs: number
  /** Other members take what it had. */
  readonly lapsesMs: number
  /** Longest gap between contacts with Valkey for an observation to count. */
  readonly contactMs: number
}

/** Survives JSON, unlike `Infinity`. */
const NEVER_MS = Number.MAX_SAFE_INTEGER

/** `null`: permits never return because of silence alone. */
export function fleetTimes(leaseMs: number | null): FleetTimes {
  const beatMs = leaseMs === null ? 2_000 : Math.min(2_000, Math.max(100, leaseMs / 900))
  const contactMs = 5 * beatMs + 1_000
  if (leaseMs === null) {
    return { beatMs, closesMs: NEVER_MS, cutsMs: NEVER_MS, lapsesMs: NEVER_MS, contactMs }
  }
  return {
    beatMs,
    closesMs: leaseMs - leaseMs / 6,
    cutsMs: leaseMs - Math.max(1_000, leaseMs / 360),
    lapsesMs: leaseMs * 1.1,
    contactMs
  }
}

export type TermStage = 'serving' | 'closing' | 'cut'

export function termStage(times: FleetTimes, sentAt: Instant, now: Instant): TermStage {
  const elapsed = elapsedMs(sentAt, now)
  if (elapsed >= times.cutsMs) return 'cut'
  return elapsed >= times.closesMs ? 'closing' : 'serving'
}

export function msToNextStage(times: FleetTimes, sentAt: Instant, now: Instant): number {
  const elapsed = elapsedMs(sentAt, now)
  const ends = [times.closesMs, times.cutsMs].filter((end) => end > elapsed)
  return Math.min(...ends) - elapsed
}
