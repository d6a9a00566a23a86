import { uptime } from 'node:os'

/**
 * A moment by three clocks of this machine, in milliseconds. None of them is enough: the monotonic one stands still while
 * the machine sleeps, the wall's is set by people, the uptime's is coarse.
 */
export interface Instant {
  readonly mono: number
  readonly wall: number
  readonly up: number
}

/** The same in all processes of this machine. */
export function instantNow(): Instant {
  return {
    mono: Number(process.hrtime.bigint() / 1_000n) / 1e3,
    wall: Date.now(),
    up: uptime() * 1e3
  }
}

/** Milliseconds from `since` to `now`, by the clock by which it is longest: for what must not be believed for too long. */
export function elapsedMs(since: Instant, now: Instant): number {
  return Math.max(now.mono - since.mono, now.wall - since.wall, now.up - since.up)
}

/** From when on a replica of a fleet is entitled to nothing, unless it hears before: `FLEET_LEASE`, and what follows of it. */
export interface FleetTimes {
  /** A sign of life is sent so often. */
  readonly beatMs: number
  /** After so long without a confirmed one nothing new is begun. */
  readonly closesMs: number
  /** After so long every connection to the upstream is reset. */
  readonly cutsMs: number
  /** After so long of silence others take what it had. */
  readonly lapsesMs: number
  /** Longest gap between contacts with Valkey for an observation to count. */
  readonly contactMs: number
}

/** Beyond all time, and a number that survives JSON, as `Infinity` does not: workers are told of it. */
const NEVER_MS = Number.MAX_SAFE_INTEGER

/** `null`: permits never come back by silence alone. */
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

/** Stage of a lease: anything is allowed, nothing new, or nothing at all. */
export type TermStage = 'serving' | 'closing' | 'cut'

/** Computes the stage of a lease that counts from `sentAt`. */
export function termStage(times: FleetTimes, sentAt: Instant, now: Instant): TermStage {
  const elapsed = elapsedMs(sentAt, now)
  if (elapsed >= times.cutsMs) return 'cut'
  return elapsed >= times.closesMs ? 'closing' : 'serving'
}

/** Milliseconds until that changes; beyond all time where it never will. */
export function msToNextStage(times: FleetTimes, sentAt: Instant, now: Instant): number {
  const elapsed = elapsedMs(sentAt, now)
  const ends = [times.closesMs, times.cutsMs].filter((end) => end > elapsed)
  return Math.min(...ends) - elapsed
}
