import { Chance } from './chance.ts'

/** When a world begins, for clocks on the wall. */
export const BEGINNING = Date.UTC(2026, 0, 5, 9)

/** A working day of each kind: an ordinary week, ends of a month, a year and a February with 29 days. */
const BEGINNINGS: readonly number[] = [
  BEGINNING,
  Date.UTC(2026, 0, 30, 8),
  Date.UTC(2027, 11, 30, 8),
  Date.UTC(2028, 1, 28, 8),
  Date.UTC(2026, 5, 25, 8)
]

const HOUR_MS = 3_600_000
const SATURDAY = 6
const SUNDAY = 0
/** Part of the load at its busiest, by hour in UTC. Nobody asks from two to five, so that each night the world is idle once. */
const WORKDAY: readonly number[] = [
  0.004, 0.002, 0, 0, 0, 0.002, 0.02, 0.1, 0.5, 1, 1, 1, 0.3, 0.6, 1, 1, 0.9, 0.6, 0.25, 0.1, 0.08,
  0.06, 0.03, 0.01
]
const WEEKEND_PART = 0.03
/** Faults happen at night, too, if fewer. */
const FAULTS_AT_NIGHT = 0.15
/** Hour at which the world has to be idle. */
const IDLE_HOUR = 5

/** The days of a team: what time it is on the wall, and how much is done then. */
export class Rhythm {
  /** Epoch ms at which the world begins. */
  readonly beginsAt: number

  constructor(seed: number) {
    this.beginsAt = Chance.for(seed, 'calendar').pick(BEGINNINGS)
  }

  /** From 0 to 1, at this virtual ms. */
  activityAt(ms: number): number {
    const at = new Date(this.beginsAt + ms)
    const ofHour = WORKDAY[at.getUTCHours()] ?? 0
    const day = at.getUTCDay()
    return day === SATURDAY || day === SUNDAY ? ofHour * WEEKEND_PART : ofHour
  }

  /** Part of the planned faults that happen at this virtual ms. */
  faultsAt(ms: number): number {
    return Math.max(FAULTS_AT_NIGHT, this.activityAt(ms))
  }

  /** The next virtual ms at which nothing has been asked for hours. */
  nextIdleAt(ms: number): number {
    const at = new Date(this.beginsAt + ms)
    const today = Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate())
    const night = today + IDLE_HOUR * HOUR_MS - this.beginsAt
    return night > ms ? night : night + 24 * HOUR_MS
  }
}
