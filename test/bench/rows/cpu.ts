import { setTimeout as delay } from 'node:timers/promises'
import type { ConversationName } from '../conversation.ts'
import type { Line, Must, Row } from '../row.ts'
import { gatewayAnswer, type LoadTarget, loadTargets, progress, type Stand } from '../stand.ts'
import type { AnswerScript } from '../upstream.ts'

export interface CpuCase {
  readonly name: string
  readonly what: string
  readonly must: Must
  readonly script: AnswerScript
  readonly conversation: ConversationName
  readonly streams: number
  /** Answers, all at once, before anything is measured: code is compiled and connections are opened. */
  readonly warmUp: number
  readonly rounds: number
  readonly requests: number
  /** Each round has connections of its own. */
  readonly isFresh?: true
}

const atOnce: CpuCase = {
  name: 'at-once',
  what: 'CPU per streamed answer, 100 events at once',
  must: { times: 1.3 },
  script: { events: 100, gapMs: 0, firstMs: 0 },
  conversation: 'short',
  streams: 16,
  warmUp: 3000,
  rounds: 5,
  requests: 2500
}

const chunked: CpuCase = {
  ...atOnce,
  name: 'chunked',
  what: '  the same, each event an HTTP chunk of its own',
  script: { ...atOnce.script, isChunked: true }
}

const paced: CpuCase = {
  name: 'paced',
  what: 'CPU per streamed answer, 100 events 20 ms apart',
  must: { times: 1.1 },
  script: { events: 100, gapMs: 20, firstMs: 0 },
  conversation: 'short',
  streams: 37,
  warmUp: 2000,
  rounds: 3,
  requests: 111
}

const many: CpuCase = {
  name: 'many',
  what: 'CPU per streamed answer, the same with 290 streams',
  must: { times: 1.1 },
  script: { events: 100, gapMs: 20, firstMs: 0 },
  conversation: 'short',
  streams: 290,
  warmUp: 2000,
  rounds: 3,
  requests: 580
}

const large: CpuCase = {
  name: 'large',
  what: 'CPU per request of 400 KB with 20 tools, 10 events',
  must: { most: 4.5 },
  script: { events: 10, gapMs: 0, firstMs: 0 },
  conversation: 'long',
  streams: 16,
  warmUp: 400,
  rounds: 5,
  requests: 240
}

const WarmUp: AnswerScript = { events: 100, gapMs: 0, firstMs: 0 }

export const cpuCases: readonly CpuCase[] = [atOnce, chunked, paced, many, large]

/** CPU time of the whole process tree, user and system, for each request. */
export const cpuRows: readonly Row[] = cpuCases.map((one) => ({
  name: one.name,
  run: (stand) => measure(stand, one)
}))

async function measure(stand: Stand, one: CpuCase): Promise<readonly Line[]> {
  const rounds = stand.isQuick ? 1 : one.rounds
  const requests = Math.max(one.streams, stand.isQuick ? Math.ceil(one.requests / 3) : one.requests)
  const warmUp = stand.isQuick ? Math.ceil(one.warmUp / 2) : one.warmUp
  // What the dutiful one does, it does for short questions alone.
  const kinds =
    one.conversation === 'short'
      ? (['translating', 'dutiful'] as const)
      : (['translating'] as const)
  const pipes = await Promise.all(kinds.map((kind) => stand.pipe(kind)))
  const lines = await stand.withPair({}, async (pair) => {
    progress(`${one.name}: warming up`)
    const targets = [pair.gateway, pair.passthrough, ...pipes]
    const answers = async (script: AnswerScript): Promise<LoadTarget[]> => {
      const { gateway, passthrough } = loadTargets(pair, await stand.play(script))
      return [gateway, passthrough, ...pipes.map(({ url }) => ({ url, answer: gatewayAnswer }))]
    }
    const ask = (target: LoadTarget, count: number) =>
      stand.load({ ...target, ...one, requests: count })
    for (const to of await answers(WarmUp)) await ask(to, warmUp)
    const places = await answers(one.script)
    if (!stand.isQuick) for (const to of places) await ask(to, one.streams)
    const spent: [number[], number[], ...number[][]] = [[], [], ...pipes.map(() => [])]
    for (let round = 0; round < rounds; round++) {
      for (const [index, target] of targets.entries()) {
        const before = target.tree.cpuMs()
        await ask(places[index]!, requests)
        await delay(50) // what is left to do after the last byte belongs to it, too
        spent[index]!.push((target.tree.cpuMs() - before) / requests)
      }
      progress(`${one.name}: ${spent.map((ms) => ms.at(-1)!.toFixed(3)).join(' / ')} ms`)
    }
    const [gateway, passthrough, translating = [], dutiful = []] = spent
    const samples = `${rounds} × ${requests} requests, ${one.streams} at a time`
    const others = { passthrough, translating, dutiful }
    return [{ what: one.what, unit: 'ms', gateway, ...others, must: one.must, samples }] as const
  })
  await Promise.all(pipes.map((pipe) => stand.end(pipe)))
  return lines
}
