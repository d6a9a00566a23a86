import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { LoadResult } from './load-generator.ts'
import { burstCase } from './rows/burst.ts'
import { type CpuCase, cpuCases } from './rows/cpu.ts'
import { gatewayAnswer, progress, Stand } from './stand.ts'
import { median, quantile } from './statistics.ts'
import type { Target } from './target.ts'

/**
 * `npm run bench:beside -- --program PATH [--program PATH] [--node PATH] [--env NAME=VALUE]... [--row NAME]... [--rounds 5]`: this gateway and another
 * version of it, or the same with another Node or other settings, take turns under the same load; CPU, memory and times to the first byte of both. With two
 * programs the second is the other, and both have the settings.
 */

const SettleMs = 3000
const SampleMs = 150

const { values } = parseArgs({
  options: {
    program: { type: 'string', multiple: true, default: [] }, // its src/start.js
    node: { type: 'string' },
    env: { type: 'string', multiple: true, default: [] },
    row: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string', default: '5' },
    part: { type: 'string', default: '1' } // of the usual number of requests
  }
})
const [first, second = first] = values.program.map((program) => resolve(program))
const cases = [...cpuCases, burstCase].filter(
  ({ name }) => values.row.length === 0 || values.row.includes(name)
)
const env = Object.fromEntries(
  values.env.map((pair) => [pair.split('=')[0], pair.split('=').slice(1).join('=')])
)
const stand = new Stand({ isQuick: false })
try {
  await stand.start()
  const other = await stand.gateway({
    env,
    ...(second !== undefined && { program: second }),
    ...(values.node !== undefined && { node: resolve(values.node) })
  })
  const own = values.program.length > 1 && first !== undefined ? { program: first, env } : {}
  const targets = [await stand.gateway(own), other]
  await stand.play({ events: 10, gapMs: 0, firstMs: 0 })
  for (const to of targets) await ask(to, { streams: 1, requests: 1, conversation: 'short' })
  await delay(SettleMs)
  tell(
    'idle, MB',
    targets.map((target) => [target.tree.privateMb()])
  )
  for (const one of cases) await compare(one, targets)
} finally {
  await stand.close()
}

async function compare(one: CpuCase, targets: readonly Target[]): Promise<void> {
  const requests = Math.max(one.streams, Math.ceil(one.requests * Number(values.part)))
  await stand.play({ events: 100, gapMs: 0, firstMs: 0 })
  for (const to of targets) await ask(to, { ...one, requests: Math.ceil(one.warmUp / 2) })
  await stand.play(one.script)
  const spent: [number[], number[]] = [[], []]
  const taken: [number[], number[]] = [[], []]
  const waited: [number[], number[]] = [[], []]
  for (let round = 0; round < Number(values.rounds); round++) {
    const turns = [...targets.entries()]
    for (const [index, target] of round % 2 === 0 ? turns : turns.toReversed()) {
      const before = target.tree.cpuMs()
      const { highestMb, firstByteMs } = await peakDuring(target, ask(target, { ...one, requests }))
      await delay(50) // what is left to do after the last byte belongs to it, too
      spent[index]?.push((target.tree.cpuMs() - before) / requests)
      taken[index]?.push(highestMb)
      waited[index]?.push(quantile(firstByteMs, 0.99))
    }
    const [cpu, p99] = [spent, waited].map((of) =>
      of.map((ms) => ms.at(-1)?.toFixed(3)).join(' / ')
    )
    progress(`${one.name}: ${cpu} ms of CPU, first byte p99 ${p99} ms`)
  }
  tell(`${one.name}, ms of CPU`, spent)
  tell(`${one.name}, MB`, taken)
  tell(`${one.name}, first byte p99, ms`, waited)
}

async function ask(
  { url }: Target,
  load: Pick<CpuCase, 'streams' | 'requests' | 'conversation' | 'isFresh'>
): Promise<LoadResult> {
  const { streams, requests, conversation, isFresh = false } = load
  return stand.load({ url, answer: gatewayAnswer, streams, requests, conversation, isFresh })
}

async function peakDuring(
  { tree }: Target,
  work: Promise<LoadResult>
): Promise<{ readonly highestMb: number; readonly firstByteMs: readonly number[] }> {
  let isOver = false
  const over = work.finally(() => {
    isOver = true
  })
  let highestMb = 0
  while (!isOver) {
    await delay(SampleMs) // a burst is over by then, and not disturbed
    highestMb = Math.max(highestMb, tree.privateMb())
  }
  return { highestMb, firstByteMs: (await over).firstByteMs }
}

/** Medians, and the median of the ratios within a round: what disturbs one disturbs its neighbour. */
function tell(what: string, values: readonly (readonly number[])[]): void {
  const [ours = [], others = []] = values
  const ratio = median(ours.map((value, round) => value / (others[round] ?? Number.NaN)))
  const [our, other] = [ours, others].map((all) => median(all).toPrecision(3))
  process.stdout.write(
    `${what.padEnd(30)}this ${our}   other ${other}   this / other ${ratio.toFixed(3)}\n`
  )
}
