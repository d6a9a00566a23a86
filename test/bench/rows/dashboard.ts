import { setTimeout as delay } from 'node:timers/promises'
import { DashboardReader } from '../../helper/dashboard-reader.ts'
import type { Line, Row } from '../row.ts'
import { gatewayAnswer, progress, type Stand } from '../stand.ts'
import { median } from '../statistics.ts'
import type { Target } from '../target.ts'

const Pages = 5
const Streams = { conversation: 'short', streams: 8 } as const
const Requests = 800
const MostPercent = 1
const MostMb = 3

/** CPU of one gateway in a stretch of time. */
interface Spent {
  /** Milliseconds per request. */
  readonly perRequest: number
  /** Milliseconds in a second. */
  readonly perSecond: number
}

/**
 * What five open pages of the dashboard cost: a gateway with them beside another that has none, both under the same load at
 * the same time, and the first alone while nothing else happens. What pages cost does not depend on the load but on time,
 * so that the second, as a part of what the loaded gateway takes, says more exactly what the first says.
 */
export const dashboardRow: Row = {
  name: 'dashboard',
  async run(stand) {
    const gateway = await stand.gateway()
    const other = await stand.gateway()
    const both = [gateway, other] as const
    await stand.play({ events: 100, gapMs: 0, firstMs: 0 })
    await spend(stand, both, stand.isQuick ? 2000 : 6000)
    const before = await rounds(stand, both)
    await delay(SettleMs)
    const idle = await idleCpu(stand, gateway)
    const memory = gateway.tree.privateMb()
    const first = await openPages(gateway)
    const watched = await idleCpu(stand, gateway)
    const open = gateway.tree.privateMb()
    for (const page of first) page.close()
    await idleCpu(stand, gateway)
    // Memory falls by itself for minutes after a load: by as much before as after.
    const more = open - (memory + gateway.tree.privateMb()) / 2
    const pages = await openPages(gateway)
    const loaded = await loadedCpu(stand, gateway)
    progress(`dashboard: ${median(idle)} ms/s without pages, ${median(watched)} ms/s with them`)
    const after = await rounds(stand, both)
    for (const page of pages) page.close()
    await Promise.all(both.map((one) => stand.end(one)))
    const cost = median(watched) - median(idle)
    return toLines({ before, after, cost, loaded, more })
  }
}

/** After a load connections are closed and garbage is collected. */
const SettleMs = 5_000

async function openPages({ url }: Target): Promise<readonly DashboardReader[]> {
  const pages = Array.from({ length: Pages }, () => new DashboardReader(url))
  for (const page of pages) await page.until(({ now }) => now !== null)
  await delay(SettleMs)
  return pages
}

/** Milliseconds of CPU in each second. */
async function idleCpu(stand: Stand, { tree }: Target): Promise<readonly number[]> {
  const spent: number[] = []
  for (let round = 0; round < (stand.isQuick ? 2 : 6); round++) {
    const before = tree.cpuMs()
    const began = performance.now()
    await delay(10_000)
    spent.push((tree.cpuMs() - before) / ((performance.now() - began) / 1000))
  }
  return spent
}

async function spend(
  stand: Stand,
  both: readonly [Target, Target],
  requests: number
): Promise<readonly [Spent, Spent]> {
  const measure = async ({ url, tree }: Target): Promise<Spent> => {
    const before = tree.cpuMs()
    const load = { ...Streams, requests, answer: gatewayAnswer, url }
    const { wallMs } = await stand.load(load)
    const ms = tree.cpuMs() - before
    return { perRequest: ms / requests, perSecond: ms / (wallMs / 1000) }
  }
  return Promise.all([measure(both[0]), measure(both[1])])
}

/** The same while it has all the work that it can do. */
async function loadedCpu(stand: Stand, { url, tree }: Target): Promise<number> {
  const before = tree.cpuMs()
  const requests = stand.isQuick ? 4_000 : 12_000
  const { wallMs } = await stand.load({ ...Streams, requests, answer: gatewayAnswer, url })
  return (tree.cpuMs() - before) / (wallMs / 1000)
}

type Rounds = readonly (readonly [Spent, Spent])[]

async function rounds(stand: Stand, both: readonly [Target, Target]): Promise<Rounds> {
  const measured: (readonly [Spent, Spent])[] = []
  for (let round = 0; round < (stand.isQuick ? 4 : 24); round++) {
    measured.push(await spend(stand, both, Requests))
  }
  return measured
}

function ratiosOf(measured: Rounds): readonly number[] {
  return measured.map(([ours, theirs]) => ours.perRequest / theirs.perRequest)
}

interface Measured {
  readonly before: Rounds
  readonly after: Rounds
  readonly cost: number
  readonly loaded: number
  readonly more: number
}

function toLines({ before, after, cost, loaded, more }: Measured): readonly Line[] {
  const unbiased = median(ratiosOf(before))
  const samples = `${after.length} × ${Requests} requests of each at once`
  const line = { passthrough: [], must: null, samples }
  return [
    {
      ...line,
      what: `CPU per streamed answer, ${Pages} dashboards open; passthrough: none`,
      unit: 'ms',
      gateway: after.map(([ours]) => ours.perRequest),
      passthrough: after.map(([, theirs]) => theirs.perRequest)
    },
    {
      ...line,
      what: '  more than before they were open, from round to round',
      unit: '%',
      gateway: ratiosOf(after).map((ratio) => (ratio / unbiased - 1) * 100)
    },
    {
      ...line,
      what: '  what they take of an idle gateway, in each second',
      unit: 'ms',
      gateway: [cost],
      samples: 'stretches of 10 s'
    },
    {
      ...line,
      what: '  that as a part of what it takes under load, alone',
      unit: '%',
      gateway: [(cost / loaded) * 100],
      must: { most: MostPercent },
      samples: `${Math.round(loaded)} ms in a second`
    },
    {
      ...line,
      what: '  memory that they take',
      unit: 'MB',
      gateway: [more],
      must: { most: MostMb },
      samples: 'beside the mean of before and after'
    }
  ]
}
