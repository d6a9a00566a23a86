import { Failures } from '../../dashboard/failures.ts'
import type {
  EndedRequest,
  GatewayVerdict,
  KeyStatuses,
  Now,
  Quota,
  ShownAccount,
  Snapshot
} from '../../dashboard/feed.ts'
import { DashboardHistory, HISTORY_STEP_MS } from '../../dashboard/history.ts'
import { Latencies } from '../../dashboard/latencies.ts'
import type { DashboardNews } from '../../ipc/dashboard.ts'
import { judge } from '../../dashboard/verdict.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import { withinTime } from '../../shared/within-time.ts'
import { VIEW_FRESH_MS } from './worker-views.ts'
import { failuresOf, type Moment, type ProcessReadings, toNow, totalsOf } from './shown-figures.ts'

export interface DashboardSources {
  readonly read: (isFresh: boolean) => Promise<ProcessReadings>
  readonly moment: () => Omit<
    Moment,
    'at' | 'totals' | 'rates' | 'latency' | 'errors' | 'dashboards'
  >
  readonly account: (quota: Quota | null) => ShownAccount
  readonly keys: (readings: ProcessReadings) => KeyStatuses
  readonly quota: () => Promise<Quota>
  readonly onVerdict: (verdict: GatewayVerdict) => void
  readonly send: (member: string, news: DashboardNews) => void
}

type Ended = Omit<EndedRequest, 'n'>

/** Over all workers. A browser opens six to one address. */
export const MAX_DASHBOARDS = 64
const TICK_MS = 1_000
/** Workers tell how they stand this long after a tick, so that the next need not ask. */
const LOOK_MS = TICK_MS - VIEW_FRESH_MS / 2
const REQUESTS_MS = 200
const KEYS_MS = 2_000
const QUOTA_MS = 60_000
/** A slow upstream delays no figures that are there. */
const QUOTA_PATIENCE_MS = 2_000
const MAX_REQUESTS = 100

/** Keeps the dashboard's data and writes events once for all pages. Without an open page it does little. */
export class DashboardPublisher {
  readonly #sources: DashboardSources
  /** Epoch ms. */
  readonly startedAt: number
  readonly #history: DashboardHistory
  readonly #failures: Failures
  readonly #latencies = new Latencies()
  /** Bounded by the workers; their sum by MAX_DASHBOARDS. */
  readonly #pages = new Map<string, number>()
  /** Oldest first. Bounded by MAX_REQUESTS. */
  readonly #requests: EndedRequest[] = []
  #untold = 0
  #nextNumber = 1
  readonly #points: NodeJS.Timeout
  #ticks: NodeJS.Timeout | null = null
  #requestTimer: NodeJS.Timeout | null = null
  readonly #lookOnce = singleFlight((isFresh: boolean) => this.#lookAnew(isFresh))
  #last: Look | null = null
  #isTicking = false
  #isPointDue = false
  #quota: Quota | null = null
  /** `performance.now()`, like `#keysDueAt`. */
  #quotaDueAt = 0
  #keysDueAt = 0
  #toldAccount = ''
  #toldKeys = ''

  constructor(sources: DashboardSources, uptimeMs: number) {
    this.#sources = sources
    this.startedAt = Math.round(Date.now() - uptimeMs)
    const startedAt = performance.now() - uptimeMs
    this.#history = new DashboardHistory(startedAt)
    this.#failures = new Failures(startedAt)
    this.#points = setInterval(() => this.#onPointDue(), HISTORY_STEP_MS).unref()
  }

  /** `rows` are oldest first; only those that can be shown are converted. */
  onEnded<Row>(rows: readonly Row[], convert: (row: Row) => Ended | null): void {
    const ended = rows.slice(-MAX_REQUESTS).flatMap((row) => convert(row) ?? [])
    if (ended.length === 0) return
    const now = performance.now()
    for (const one of ended) {
      if (one.firstMs !== null) this.#latencies.add(now, one.firstMs, one.totalMs)
    }
    const numbered = ended.map((one) => ({ n: this.#nextNumber++, ...one }))
    this.#requests.push(...numbered)
    this.#requests.splice(0, this.#requests.length - MAX_REQUESTS)
    if (this.#pages.size === 0) return
    this.#untold = Math.min(this.#untold + numbered.length, MAX_REQUESTS)
    this.#requestTimer ??= setTimeout(() => this.#tellRequests(), REQUESTS_MS).unref()
  }

  async open(
    member: string,
    { requestId, pages }: { readonly requestId: number; readonly pages: number },
    isThere: () => boolean
  ): Promise<void> {
    this.#askQuota(performance.now())
    const look = await this.#look(true)
    if (!isThere()) return
    const free = MAX_DASHBOARDS - this.#size
    const admitted = Math.max(0, Math.min(pages, free))
    this.#tellRequests() // to open pages: new ones get them in the snapshot
    if (admitted > 0) {
      this.#pages.set(member, (this.#pages.get(member) ?? 0) + admitted)
      this.#ticks ??= setInterval(() => void this.#tick(), TICK_MS).unref() // cannot reject
    }
    const events = admitted > 0 ? eventOf('snapshot', this.#snapshot(look)) : ''
    if (admitted > 0) this.#toldAccount = '' // the new pages know a newer one than the others
    this.#sources.send(member, { name: 'opened', requestId, pages: admitted, events })
  }

  /** Tells what pages are told, once. */
  async state(): Promise<{ readonly now: Now; readonly account: ShownAccount }> {
    const at = performance.now()
    if (this.#quota === null || at >= this.#quotaDueAt) {
      this.#quotaDueAt = at + QUOTA_MS
      await withinTime(this.#noteQuota(), QUOTA_PATIENCE_MS)
      this.#last = null
    }
    const { now } = await this.#look(true)
    return { now, account: this.#sources.account(this.#quota) }
  }

  onQuota(quota: Quota): void {
    const isNews = quota.remaining !== this.#quota?.remaining || this.#quota.problem !== null
    this.#quota = quota
    this.#quotaDueAt = performance.now() + QUOTA_MS
    if (isNews) void this.judgeAgain() // never rejects
  }

  /** Judges anew what has just changed. Never rejects. */
  async judgeAgain(): Promise<void> {
    await this.#lookOnce.running // it may have begun before the change
    this.#last = null
    await this.#look(false)
  }

  left(member: string, pages = Infinity): void {
    const left = (this.#pages.get(member) ?? 0) - pages
    if (left > 0) this.#pages.set(member, left)
    else this.#pages.delete(member)
    if (this.#pages.size > 0 || this.#ticks === null) return
    clearInterval(this.#ticks)
    this.#ticks = null
    if (!this.#isPointDue) return
    this.#isPointDue = false
    this.#onPointDue()
  }

  close(): void {
    clearInterval(this.#points)
    if (this.#ticks !== null) clearInterval(this.#ticks)
    if (this.#requestTimer !== null) clearTimeout(this.#requestTimer)
  }

  get #size(): number {
    return this.#pages.values().reduce((sum, pages) => sum + pages, 0)
  }

  #snapshot({ readings, now }: Look): Snapshot {
    const account = this.#sources.account(this.#quota)
    const keys = this.#sources.keys(readings)
    const history = this.#history.toJson()
    return {
      now: { ...now, dashboards: this.#size },
      account,
      keys,
      history,
      requests: this.#requests
    }
  }

  #look(isFresh: boolean): Promise<Look> {
    const last = this.#last
    if (last !== null && performance.now() - last.at < VIEW_FRESH_MS) return Promise.resolve(last)
    return this.#lookOnce(isFresh)
  }

  async #lookAnew(isFresh: boolean): Promise<Look> {
    const readings = await this.#sources.read(isFresh)
    const at = performance.now()
    const totals = totalsOf(readings.all)
    const failures = failuresOf(readings.all)
    this.#failures.note(at, failures)
    const figures = toNow(readings, {
      ...this.#sources.moment(),
      at: Date.now(),
      totals,
      rates: this.#history.rates(at, totals),
      latency: this.#latencies.at(at),
      errors: this.#failures.toJson(failures),
      dashboards: this.#size
    })
    const verdict = judge(figures, this.#sources.account(this.#quota))
    this.#last = { at, readings, totals, now: { ...figures, verdict } }
    this.#sources.onVerdict(verdict)
    return this.#last
  }

  #onPointDue(): void {
    if (this.#pages.size > 0)
      this.#isPointDue = true // the next tick adds it
    else void this.#look(false).then((look) => this.#addPoint(look)) // cannot reject
  }

  #addPoint({ at, totals, now }: Look): void {
    this.#history.add({ at, shownAt: now.at }, totals, levelsOf(now))
  }

  #pointNews(look: Look): string {
    if (!this.#isPointDue) return ''
    this.#isPointDue = false
    this.#addPoint(look)
    return eventOf('point', this.#history.last())
  }

  async #tick(): Promise<void> {
    if (this.#isTicking) return // a worker hangs
    this.#isTicking = true
    const look = await this.#look(true)
    this.#isTicking = false
    const { at, readings, now } = look
    this.#askQuota(at)
    const news = this.#pointNews(look) + this.#accountNews() + this.#keyNews(at, readings)
    this.#tell(eventOf('tick', now) + news, LOOK_MS)
  }

  #accountNews(): string {
    const event = eventOf('account', this.#sources.account(this.#quota))
    if (event === this.#toldAccount) return ''
    this.#toldAccount = event
    return event
  }

  #keyNews(at: number, readings: ProcessReadings): string {
    if (at < this.#keysDueAt) return ''
    this.#keysDueAt = at + KEYS_MS
    const event = eventOf('keys', this.#sources.keys(readings))
    if (event === this.#toldKeys) return ''
    this.#toldKeys = event
    return event
  }

  #askQuota(at: number): void {
    if (at < this.#quotaDueAt) return
    this.#quotaDueAt = at + QUOTA_MS
    void this.#noteQuota() // never rejects
  }

  async #noteQuota(): Promise<void> {
    this.#quota = await this.#sources.quota()
  }

  #tellRequests(): void {
    if (this.#requestTimer !== null) clearTimeout(this.#requestTimer)
    this.#requestTimer = null
    const untold = this.#untold
    this.#untold = 0
    if (untold > 0) this.#tell(eventOf('requests', this.#requests.slice(-untold)))
  }

  #tell(events: string, lookInMs?: number): void {
    const more = lookInMs === undefined ? {} : { lookInMs }
    for (const member of this.#pages.keys()) {
      this.#sources.send(member, { name: 'events', events, ...more })
    }
  }
}

/** `at` is monotonic. */
interface Look {
  readonly at: number
  readonly readings: ProcessReadings
  readonly totals: ReturnType<typeof totalsOf>
  readonly now: Now
}

function eventOf(name: string, data: object | null): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}

function levelsOf(now: Now): Parameters<DashboardHistory['add']>[2] {
  const { connections, waiting, requests, latency, memory, cpu, processes, workers } = now
  const delays = processes.flatMap(({ loopDelayMs }) => loopDelayMs?.p99 ?? [])
  return {
    inUse: connections.inUse,
    idle: connections.idle,
    budget: connections.budget,
    waiting: waiting.permits,
    longestWaitMs: waiting.longestMs,
    streams: requests.streams,
    firstP50Ms: latency.firstMs?.p50 ?? null,
    firstP95Ms: latency.firstMs?.p95 ?? null,
    totalP50Ms: latency.totalMs?.p50 ?? null,
    totalP95Ms: latency.totalMs?.p95 ?? null,
    memoryBytes: memory.usedBytes,
    cpuCores: cpu.cores,
    loopDelayMs: delays.length === 0 ? null : Math.max(...delays),
    workers: workers.filter(({ state }) => state === 'ready').length
  }
}
