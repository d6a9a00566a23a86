import type { Scrape } from '../chaos/metrics-text.ts'
import type { ProcessState } from './probe.ts'

/** One process at one moment. */
export interface Sample extends ProcessState {
  /** Since the soak has begun. */
  readonly atMs: number
  /** What the process has that belongs to no file, garbage included, in bytes. */
  readonly anonymousBytes: number
  /** The longest that a process stood still meanwhile that does nothing but append to a file. */
  readonly machineMs: number
  /** Those that convert come with large bodies and go after a while. */
  readonly threads: number
}

/** The samples of one process, in their order. */
export interface ProcessRecord {
  /** `primary`, or `worker` and a number. */
  readonly name: string
  readonly samples: readonly Sample[]
}

/** Of what a process has, what it gains in an hour. In MB of 2^20 bytes. */
export interface Slope {
  readonly mbPerHour: number
  /** How far that may be from the truth, by how the figures scatter; about 99 times in 100. */
  readonly error: number
}

/** Least that a process must not gain. */
export const MOST_MB_PER_HOUR = 2
export const MOST_STALL_MS = 250
/** Of a run, before caches are full, code is compiled and connections are open. */
const WARM_UP = 0.25
const MOST_WARM_UP_MS = 10 * 60_000
/** Memory goes up until it is collected: what counts is the lowest of each part of the run. */
const PARTS = 12
const ERRORS = 3
const LEAST_PARTS = 5
/** What code and caches may still take in a run of a few minutes, in all. */
const WARM_MB = 4
/** V8 fills the heap that it was given before it collects thoroughly. */
const LEAST_SPAN_MS = 10 * 60_000
/** A count goes up and down with the load. */
const FREE_COUNTS = 80
const FREE_PART = 0.25
const HOUR_MS = 3_600_000
const POST_ROUTES = ['/v1/chat/completions', '/v1/messages', '/v1/responses']

/** What is wrong with a process, in words; empty if nothing is. */
export function complaintsOf({ name, samples }: ProcessRecord): readonly string[] {
  const warm = warmSamples(samples)
  const memory = (['liveBytes', 'anonymousBytes'] as const).flatMap((what) => {
    const spanMs = spanOf(warm)
    if (what === 'anonymousBytes' && spanMs < LEAST_SPAN_MS) return []
    const { mbPerHour, error } = slopeOf(warm, what)
    const freeMb = spanMs < LEAST_SPAN_MS ? WARM_MB : 0
    const most = MOST_MB_PER_HOUR + (freeMb * HOUR_MS) / spanMs
    if (mbPerHour - error <= most) return []
    const said = what === 'liveBytes' ? 'objects that are in use' : 'memory'
    return `${name}: ${said} grow by ${mbPerHour.toFixed(1)} ± ${error.toFixed(1)} MB/h`
  })
  const counts = (['timers', 'sockets', 'listeners'] as const).flatMap((what) => {
    const [before, after] = ends(warm.map((sample) => sample[what]))
    if (after <= before * (1 + FREE_PART) + FREE_COUNTS) return []
    return `${name}: ${what} grow, from ${before} to ${after}`
  })
  const stalls = warm.filter(isStall).map(({ stallMs, stallCpuMs }) => {
    const [still, worked] = [stallMs, stallCpuMs].map((ms) => ms.toFixed(0))
    return `${name}: stood still for ${still} ms, of which it worked for ${worked} ms`
  })
  return [...memory, ...counts, ...stalls]
}

/** What gateway, upstream and clients have counted once everything is answered. */
export interface Ledger {
  readonly scrape: Scrape
  readonly upstream: {
    readonly inFlight: number
    readonly connections: { readonly open: number; readonly max: number }
  }
  readonly asked: { readonly sent: number; readonly withoutHead: number }
}

/** What is not back, and what does not add up, in words. */
export function unbalanced({ scrape, upstream, asked }: Ledger): readonly string[] {
  const { connections, inFlight } = upstream
  const counted = POST_ROUTES.reduce(
    (sum, route) => sum + scrape.sum('requests_total', { route }),
    0
  )
  const budget = scrape.sum('upstream_connection_budget')
  const held = scrape.sum('upstream_connections')
  return [
    ...equal('requests counted', counted, asked.sent - asked.withoutHead),
    ...equal('requests lost', scrape.sum('requests_lost_total'), 0),
    ...equal('requests in flight', scrape.sum('requests_in_flight'), 0),
    ...equal('permits in use', scrape.sum('pool_permits_in_use'), 0),
    ...equal('permits leased', scrape.sum('pool_permits_leased'), budget),
    ...equal('requests that wait for a permit', scrape.sum('pool_waiters'), 0),
    ...equal('bytes admitted', scrape.sum('admitted_bytes'), 0),
    ...equal('restarts', scrape.sum('worker_restarts_total'), 0),
    ...equal('requests that the upstream answers', inFlight, 0),
    ...equal('connections, as the upstream counts them', connections.open, held),
    ...(connections.max > budget ? [`${connections.max} connections, of ${budget}`] : [])
  ]
}

function equal(what: string, is: number, must: number): readonly string[] {
  return is === must ? [] : [`${what}: ${is}, not ${must}`]
}

/** What it worked is never the machine's. */
function isStall({ stallMs, stallCpuMs, machineMs }: Sample): boolean {
  return stallMs > MOST_STALL_MS && (stallCpuMs > MOST_STALL_MS || stallMs > 2 * machineMs)
}

/** What follows the warm-up, which begins with a process's first work: where one worker has all of it, that may be late. */
export function warmSamples(samples: readonly Sample[]): readonly Sample[] {
  const lastAt = samples.at(-1)?.atMs ?? 0
  const idle = samples.findLast(({ requests }) => requests === 0)
  const isUsed = (samples.at(-1)?.requests ?? 0) > 0
  const from = isUsed ? (idle?.atMs ?? 0) : 0 // the primary is never asked
  return samples.filter(({ atMs }) => atMs >= from + Math.min(lastAt * WARM_UP, MOST_WARM_UP_MS))
}

function spanOf(samples: readonly Sample[]): number {
  return (samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0)
}

/** A straight line through the lowest samples of equal parts of the time. */
export function slopeOf(samples: readonly Sample[], what: 'liveBytes' | 'anonymousBytes'): Slope {
  const points = lowestOfParts(what === 'liveBytes' ? samples : alike(samples), what)
  const middle = { x: mean(points.map(({ x }) => x)), y: mean(points.map(({ y }) => y)) }
  const spread = sum(points.map(({ x }) => (x - middle.x) ** 2))
  if (points.length < LEAST_PARTS || spread === 0) return { mbPerHour: 0, error: Infinity }
  const slope = sum(points.map(({ x, y }) => (x - middle.x) * (y - middle.y))) / spread
  const rest = sum(points.map(({ x, y }) => (y - middle.y - slope * (x - middle.x)) ** 2))
  const error = Math.sqrt(rest / (points.length - 2) / spread)
  return { mbPerHour: slope, error: ERRORS * error }
}

/** Those with the number of threads that is seen most often: each has a heap of its own. */
function alike(samples: readonly Sample[]): readonly Sample[] {
  const groups = [...Map.groupBy(samples, ({ threads }) => threads).values()]
  return groups.toSorted((left, right) => right.length - left.length)[0] ?? []
}

/** Hours and megabytes. */
function lowestOfParts(samples: readonly Sample[], what: 'liveBytes' | 'anonymousBytes') {
  const size = Math.max(1, samples.length / PARTS)
  const parts = Map.groupBy(samples, (_, index) => Math.floor(index / size))
  return [...parts.values()].map((part) => ({
    x: mean(part.map(({ atMs }) => atMs)) / HOUR_MS,
    y: Math.min(...part.map((sample) => sample[what])) / 2 ** 20
  }))
}

/** Medians of the first and of the last third. */
function ends(values: readonly number[]): readonly [number, number] {
  const third = Math.max(1, Math.floor(values.length / 3))
  return [middleOf(values.slice(0, third)), middleOf(values.slice(-third))]
}

function middleOf(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length
}

function sum(values: readonly number[]): number {
  return values.reduce((left, right) => left + right, 0)
}
