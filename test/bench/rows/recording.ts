import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { runKiroGateway } from '../../helper/cli-process.ts'
import type { RecordCostQuestion } from '../record-cost.ts'
import type { Line, Row } from '../row.ts'
import { Subprocess } from '../../helper/subprocess.ts'
import { gatewayAnswer, progress, type Stand } from '../stand.ts'
import { median, quantile } from '../statistics.ts'
import type { Target } from '../target.ts'

const Streams = { conversation: 'short', streams: 8 } as const
const Requests = 800
const MostPercent = 2
/** Of PROXY_API_KEY. */
const OperatorKey = 'bench-key-of-the-operator'

/** CPU milliseconds per request of both, in the same stretch of time. */
interface Round {
  readonly gateway: number
  readonly other: number
  /** Of the gateway's primary alone, like the next. */
  readonly primary: number
  readonly otherPrimary: number
}

/**
 * What it costs that requests come with a named key and are recorded: a gateway beside another that knows no keys but the
 * operator's and records nothing, both under load at the same time. Two processes of the same code differ by more than that
 * costs, so at first neither records, and then one of them begins to: what counts is how their ratio changes.
 */
export const recordingRow: Row = {
  name: 'recording',
  async run(stand) {
    const env = { PROXY_API_KEY: OperatorKey }
    const gateway = await plainGateway(stand, env)
    const other = await plainGateway(stand, env)
    await stand.play({ events: 100, gapMs: 0, firstMs: 0 })
    const pair = { gateway, other }
    await spend(stand, pair, { key: OperatorKey, requests: stand.isQuick ? 2000 : 6000 })
    const before = await rounds(stand, pair, OperatorKey)
    progress(`recording: ${typical(before)} before`)
    const recorded = await startRecording(pair)
    await spend(stand, pair, { key: recorded, requests: 2000 })
    const after = await rounds(stand, pair, recorded)
    progress(`recording: ${typical(after)} with a named key`)
    const limited = await addKey(gateway, 'state', 'with-a-limit', '--credits', '1000000/month')
    await spend(stand, pair, { key: limited, requests: 2000 })
    const within = await rounds(stand, pair, limited)
    progress(`recording: ${typical(within)} with a limit`)
    await Promise.all([stand.end(gateway), stand.end(other)])
    const costs = await measureWorker()
    return [
      ...toLines('with a named key', { before, after, worker: costs.row }),
      ...toLines('with a key that has a limit', { before, after: within, worker: costs.row }),
      toLimitLine(costs.limit, within)
    ]
  }
}

/** It records nothing until its settings are read again. */
function plainGateway(stand: Stand, env: Readonly<Record<string, string>>): Promise<Target> {
  return stand.gateway({ env, settings: 'USAGE_LOG=false\n' })
}

function startRecording({ gateway, other }: Both): Promise<string> {
  writeFileSync(join(gateway.folder, '.env'), '')
  gateway.reload()
  other.reload()
  return addKey(gateway, 'state', 'without-a-limit')
}

/** Resolves with a new named key, once it is good. */
export async function addKey(
  gateway: Target,
  stateDir: string,
  ...args: readonly string[]
): Promise<string> {
  const options = { cwd: gateway.folder, env: { STATE_DIR: stateDir } }
  const { code, stdout, stderr } = await runKiroGateway(['key', 'add', ...args, '--json'], options)
  if (code !== 0) throw new Error(stderr)
  const { key } = JSON.parse(stdout) as { readonly key: string }
  const headers = { 'x-api-key': key }
  while ((await fetch(`${gateway.url}/v1/usage`, { headers })).status !== 200) await delay(50)
  return key
}

interface Both {
  readonly gateway: Target
  readonly other: Target
}

interface Spending {
  /** For the gateway; the other gets the operator's. */
  readonly key: string
  readonly requests: number
}

async function spend(
  stand: Stand,
  { gateway, other }: Both,
  { key, requests }: Spending
): Promise<Round> {
  const load = { ...Streams, requests, answer: gatewayAnswer }
  const cpu = () =>
    [gateway.tree, other.tree].flatMap((tree) => [tree.cpuMs(), tree.rootCpuMs()] as const)
  const before = cpu()
  await Promise.all([
    stand.load({ ...load, url: gateway.url, key }),
    stand.load({ ...load, url: other.url, key: OperatorKey })
  ])
  await delay(600) // what was recorded last is written
  const spent = cpu().map((ms, n) => (ms - before[n]!) / requests)
  const [ours = NaN, primary = NaN, theirs = NaN, otherPrimary = NaN] = spent
  return { gateway: ours, other: theirs, primary, otherPrimary }
}

async function rounds(stand: Stand, both: Both, key: string): Promise<readonly Round[]> {
  const measured: Round[] = []
  for (let round = 0; round < (stand.isQuick ? 4 : 24); round++) {
    measured.push(await spend(stand, both, { key, requests: Requests }))
  }
  return measured
}

function ratiosOf(measured: readonly Round[]): readonly number[] {
  return measured.map(({ gateway, other }) => gateway / other)
}

function typical(measured: readonly Round[]): string {
  return `${median(ratiosOf(measured)).toFixed(3)} of the other`
}

/** Microseconds of CPU in a worker for a request, by itself. */
interface WorkerCosts {
  /** More than for one that is not recorded. */
  readonly row: readonly number[]
  /** More than for one that is recorded, of a key without a limit. */
  readonly limit: readonly number[]
}

async function measureWorker(): Promise<WorkerCosts> {
  const worker = new Subprocess<RecordCostQuestion, number>(
    new URL('../record-cost.ts', import.meta.url)
  )
  const row: number[] = []
  const limit: number[] = []
  for (let run = 0; run < 5; run++) {
    const unrecorded = await worker.ask({ isRecorded: false, hasLimit: false })
    const recorded = await worker.ask({ isRecorded: true, hasLimit: false })
    const limited = await worker.ask({ isRecorded: true, hasLimit: true })
    row.push(recorded - unrecorded)
    limit.push(limited - recorded)
  }
  await worker.close()
  return { row, limit }
}

/** What all rounds took together: ticks of 10 ms are too coarse for one of them. */
function primaryMicroseconds(measured: readonly Round[]): number {
  const more = measured.reduce((sum, round) => sum + round.primary - round.otherPrimary, 0)
  return (more / measured.length) * 1000
}

interface Measured {
  readonly before: readonly Round[]
  readonly after: readonly Round[]
  readonly worker: readonly number[]
}

function toLines(what: string, { before, after, worker }: Measured): readonly Line[] {
  const unbiased = median(ratiosOf(before))
  const changes = ratiosOf(after).map((ratio) => (ratio / unbiased - 1) * 100)
  const half = [0.25, 0.75].map((part) => quantile(changes, part).toFixed(1)).join('…')
  const samples = `${after.length} × ${Requests} requests of each at once`
  const primary = primaryMicroseconds(after) - primaryMicroseconds(before)
  const perRequestMs = median(after.map((round) => round.other))
  const must = { most: MostPercent }
  const line = { passthrough: [], must: null, samples }
  return [
    {
      what: `CPU per streamed answer ${what}; passthrough: not recorded`,
      unit: 'ms',
      gateway: after.map((round) => round.gateway),
      passthrough: after.map((round) => round.other),
      must: null,
      samples
    },
    {
      ...line,
      what: `  more than before it recorded, from round to round, ${what}`,
      unit: '%',
      gateway: changes,
      samples: `${samples}; half of them ${half}`
    },
    {
      ...line,
      what: `  more in the primary, of all rounds, ${what}`,
      unit: 'µs',
      gateway: [primary]
    },
    {
      ...line,
      what: `  in a worker: noted and sent, what a request has used, ${what}`,
      unit: 'µs',
      gateway: worker,
      samples: '5 × 100,000 rows'
    },
    {
      ...line,
      what: `  both as a part of the answer, ${what}`,
      unit: '%',
      gateway: worker.map((cost) => (cost + primary) / 10 / perRequestMs),
      must
    }
  ]
}

function toLimitLine(limit: readonly number[], measured: readonly Round[]): Line {
  const perRequestMs = median(measured.map((round) => round.other))
  return {
    what: '  its credits besides: reserved, settled and written down',
    unit: '%',
    gateway: limit.map((cost) => cost / 10 / perRequestMs),
    passthrough: [],
    must: { most: MostPercent },
    samples: '5 × 100,000 requests in a worker, less as many without a limit'
  }
}
