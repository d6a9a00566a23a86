import { setTimeout as delay } from 'node:timers/promises'
import { cpuMicroseconds, takeAsRequest } from '../permit-cost.ts'
import type { Line, Row } from '../row.ts'
import { gatewayAnswer, progress, type Stand } from '../stand.ts'
import { median, quantile } from '../statistics.ts'
import type { Target } from '../target.ts'

const Hook = new URL('../without-budget/hook.ts', import.meta.url).href
const Streams = { conversation: 'short', streams: 8 } as const
const Requests = 1500
const MostPercent = 3

/** CPU milliseconds per request of both, in the same stretch of time. */
interface Round {
  readonly with: number
  readonly without: number
}

/**
 * What the connection budget costs: the gateway beside itself without lease, permits and queue, both under load at the
 * same time, so that a machine that slows down favours nobody; and, since even then rounds differ by more than that
 * costs, one permit measured by itself.
 */
export const budgetRow: Row = {
  name: 'budget',
  async run(stand) {
    const rounds = await measure(stand)
    const ratios = rounds.map((round) => (round.with / round.without - 1) * 100)
    const perRequestMs = median(rounds.map((round) => round.with))
    const direct: number[] = []
    for (let i = 0; i < 5; i++) direct.push(await cpuMicroseconds(takeAsRequest))
    progress(`budget: ${median(direct).toFixed(2)} µs for a permit`)
    return toLines({ rounds, ratios, direct, perRequestMs })
  }
}

async function measure(stand: Stand): Promise<readonly Round[]> {
  const budgeted = await stand.gateway()
  const free = await stand.gateway({ env: { NODE_OPTIONS: `--import=${Hook}` } })
  await stand.play({ events: 100, gapMs: 0, firstMs: 0 })
  const ask = ({ url }: Target, requests: number) =>
    stand.load({ ...Streams, url, answer: gatewayAnswer, requests })
  const spend = async (requests: number): Promise<Round> => {
    const before = [budgeted.tree.cpuMs(), free.tree.cpuMs()] as const
    await Promise.all([ask(budgeted, requests), ask(free, requests)])
    await delay(50) // what is left to do after the last byte belongs to it, too
    return {
      with: (budgeted.tree.cpuMs() - before[0]) / requests,
      without: (free.tree.cpuMs() - before[1]) / requests
    }
  }
  await spend(stand.isQuick ? 2000 : 6000)
  const rounds: Round[] = []
  for (let round = 0; round < (stand.isQuick ? 6 : 30); round++) rounds.push(await spend(Requests))
  await Promise.all([stand.end(budgeted), stand.end(free)])
  return rounds
}

interface Measured {
  readonly rounds: readonly Round[]
  /** Per cent more, of each round. */
  readonly ratios: readonly number[]
  /** Microseconds of CPU for one permit, of each run. */
  readonly direct: readonly number[]
  readonly perRequestMs: number
}

function toLines({ rounds, ratios, direct, perRequestMs }: Measured): readonly Line[] {
  const half = [0.25, 0.75].map((part) => quantile(ratios, part).toFixed(1)).join('…')
  const samples = `${rounds.length} × ${Requests} requests of each at once`
  const must = { most: MostPercent }
  const permits = '5 × 200,000 permits'
  return [
    {
      what: 'CPU per streamed answer; passthrough: this gateway without a budget',
      unit: 'ms',
      gateway: rounds.map((round) => round.with),
      passthrough: rounds.map((round) => round.without),
      must: null,
      samples
    },
    {
      what: '  more with the budget, from round to round',
      unit: '%',
      gateway: ratios,
      passthrough: [],
      must,
      samples: `${samples}; half of them ${half}`
    },
    {
      what: '  a permit at hand: clocks, lease, metrics',
      unit: 'µs',
      gateway: direct,
      passthrough: [],
      must: null,
      samples: permits
    },
    {
      what: '  the same as a part of the answer',
      unit: '%',
      gateway: direct.map((microseconds) => microseconds / 10 / perRequestMs),
      passthrough: [],
      must,
      samples: permits
    }
  ]
}
