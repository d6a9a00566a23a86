import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type CpuCase, cpuCases } from './rows/cpu.ts'
import { gatewayAnswer, progress, Stand } from './stand.ts'
import { median } from './statistics.ts'
import type { Target } from './target.ts'

/**
 * `npm run bench:beside -- --program PATH [--program PATH] [--node PATH] [--env NAME=VALUE]... [--row NAME]... [--rounds 5]`: this gateway and another
 * version of it, or the same with another Node or other settings, take turns under the same load; CPU and memory of both. With two
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
const cases = cpuCases.filter(({ name }) => values.row.length === 0 || values.row.includes(name))
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
  for (let round = 0; round < Number(values.rounds); round++) {
    const turns = [...targets.entries()]
    for (const [index, target] of round % 2 === 0 ? turns : turns.toReversed()) {
      const before = target.tree.cpuMs()
      const highestMb = await peakDuring(target, ask(target, { ...one, requests }))
      await delay(50) // what is left to do after the last byte belongs to it, too
      spent[index]?.push((target.tree.cpuMs() - before) / requests)
      taken[index]?.push(highestMb)
    }
    progress(`${one.name}: ${spent.map((ms) => ms.at(-1)?.toFixed(3)).join(' / ')} ms`)
  }
  tell(`${one.name}, ms of CPU`, spent)
  tell(`${one.name}, MB`, taken)
}

async function ask(
  { url }: Target,
  { streams, requests, conversation }: Pick<CpuCase, 'streams' | 'requests' | 'conversation'>
): Promise<void> {
  await stand.load({ url, answer: gatewayAnswer, streams, requests, conversation })
}

async function peakDuring({ tree }: Target, work: Promise<void>): Promise<number> {
  let isOver = false
  const over = work.finally(() => {
    isOver = true
  })
  let highest = 0
  while (!isOver) {
    highest = Math.max(highest, tree.privateMb())
    await delay(SampleMs)
  }
  await over
  return highest
}

/** Medians, and the median of the ratios within a round: what disturbs one disturbs its neighbour. */
function tell(what: string, values: readonly (readonly number[])[]): void {
  const [ours = [], others = []] = values
  const ratio = median(ours.map((value, round) => value / (others[round] ?? Number.NaN)))
  const [our, other] = [ours, others].map((all) => median(all).toPrecision(3))
  process.stdout.write(
    `${what.padEnd(24)}this ${our}   other ${other}   this / other ${ratio.toFixed(3)}\n`
  )
}
