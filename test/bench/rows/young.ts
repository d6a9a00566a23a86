import { setTimeout as delay } from 'node:timers/promises'
import type { Line, Row } from '../row.ts'
import { gatewayAnswer, progress, type Stand, type Version } from '../stand.ts'
import { quantile } from '../statistics.ts'
import type { Target } from '../target.ts'
import { burstCase } from './burst.ts'

const Burst = { conversation: 'short', streams: 60, script: burstCase.script } as const
const Large = { conversation: 'long', streams: 16, requests: 60 } as const
const AtOnce = { events: 10, gapMs: 0, firstMs: 0 } as const
/** With the large ones, 600 answers. */
const PacedAnswers = 540
/** Answers one at a time, all by one worker. */
const AnswersBefore = 200
/** Between two loads: what is left to do is done. */
const SettleMs = 600
/** A gateway rests when it has taken no more than this of CPU in so many looks in a row. */
const RestCpuMs = 10
const RestLooks = 4
const LookMs = 200

/** What one start of a gateway has shown, in the order of `Figures`. */
type Start = readonly number[]

const Figures = [
  { what: 'first 540 answers, 60 paced streams at a time: CPU of each', unit: 'ms' },
  { what: '  of it the primary', unit: 'ms' },
  { what: '  of it the worker with more to do', unit: 'ms' },
  { what: '  of it the other worker', unit: 'ms' },
  { what: '  first byte of the first 60, p50', unit: 'ms' },
  { what: '  first byte of the first 60, p99', unit: 'ms' },
  { what: '60 requests of 400 KB after that: CPU of each', unit: 'ms' },
  { what: '  memory after that', unit: 'MB' },
  { what: '200 answers, one at a time, of another start: CPU of each', unit: 'ms' },
  { what: '  of it the primary', unit: 'ms' },
  { what: '60 paced streams together after that: CPU of each', unit: 'ms' },
  { what: '  first byte, p50', unit: 'ms' },
  { what: '  first byte, p99', unit: 'ms' },
  { what: 'from start to listening', unit: 'ms' },
  { what: 'CPU from the start until it rests', unit: 'ms' }
] as const

/**
 * The first 600 answers of a gateway that has just started, since few gateways answer so many that all their code is
 * compiled. Each round starts two gateways of each version.
 */
export const youngRow: Row = {
  name: 'young',
  takesTurns: true,
  async run(stand, before) {
    const versions = before === undefined ? [{}] : [{}, before]
    const starts: Start[][] = versions.map(() => [])
    for (const version of versions) await startOnce(stand, version) // its compile cache is filled
    for (let round = 0; round < (stand.isQuick ? 1 : 7); round++) {
      const turns = [...versions.entries()]
      for (const [index, version] of round % 2 === 0 ? turns : turns.toReversed()) {
        starts[index]!.push(await startOnce(stand, version))
      }
      const [cpu, p99, half] = [0, 5, 12].map((at) =>
        starts.map((of) => of.at(-1)![at]!.toFixed(1)).join(' / ')
      )
      progress(`young: ${cpu} ms of CPU, first byte p99 ${p99}, after 200 answers ${half} ms`)
    }
    const [ours = [], others = []] = starts
    return Figures.map(
      ({ what, unit }, at): Line => ({
        what,
        unit,
        gateway: ours.map((start) => start[at]!),
        passthrough: [],
        before: others.map((start) => start[at]!),
        must: null,
        samples: `${ours.length} starts`
      })
    )
  }
}

async function startOnce(stand: Stand, version: Version): Promise<Start> {
  const startedAt = performance.now()
  const cold = await stand.gateway(version)
  const readyMs = performance.now() - startedAt
  await untilRested(cold)
  const startCpu = sum(cold.tree.cpuMsOfEach())
  await stand.play(Burst.script)
  const first = await measure(stand, cold, { ...Burst, requests: Burst.streams, isFresh: true })
  const rest = await measure(stand, cold, { ...Burst, requests: PacedAnswers - Burst.streams })
  const [primary = 0, ...workers] = first.cpuMs.map(
    (ms, at) => (ms + rest.cpuMs[at]!) / PacedAnswers
  )
  await stand.play(AtOnce)
  const large = await measure(stand, cold, Large)
  const memoryMb = cold.tree.privateMb()
  await stand.end(cold)

  const halfWarm = await stand.gateway(version)
  await untilRested(halfWarm)
  const single = { conversation: 'short', streams: 1, requests: AnswersBefore } as const
  const before = await measure(stand, halfWarm, single)
  await stand.play(Burst.script)
  const burst = await measure(stand, halfWarm, { ...Burst, requests: Burst.streams, isFresh: true })
  await stand.end(halfWarm)
  return [
    primary + sum(workers),
    primary,
    Math.max(...workers),
    Math.min(...workers),
    quantile(first.firstByteMs, 0.5),
    quantile(first.firstByteMs, 0.99),
    sum(large.cpuMs) / Large.requests,
    memoryMb,
    sum(before.cpuMs) / AnswersBefore,
    before.cpuMs[0]! / AnswersBefore,
    sum(burst.cpuMs) / Burst.streams,
    quantile(burst.firstByteMs, 0.5),
    quantile(burst.firstByteMs, 0.99),
    readyMs,
    startCpu
  ]
}

/** Resolves when the gateway has done what it does after its start. */
async function untilRested({ tree }: Target): Promise<void> {
  let last = sum(tree.cpuMsOfEach())
  for (let looks = 0; looks < RestLooks; ) {
    await delay(LookMs)
    const now = sum(tree.cpuMsOfEach())
    looks = now - last <= RestCpuMs ? looks + 1 : 0
    last = now
  }
}

interface Measured {
  /** Of the primary and each worker. */
  readonly cpuMs: readonly number[]
  readonly firstByteMs: readonly number[]
}

async function measure(
  stand: Stand,
  { url, tree }: Target,
  load: Omit<Parameters<Stand['load']>[0], 'url' | 'answer'>
): Promise<Measured> {
  const before = tree.cpuMsOfEach()
  const { firstByteMs } = await stand.load({ ...load, url, answer: gatewayAnswer })
  await delay(SettleMs)
  return { cpuMs: tree.cpuMsOfEach().map((ms, at) => ms - before[at]!), firstByteMs }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
