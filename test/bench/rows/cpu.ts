import { setTimeout as delay } from 'node:timers/promises'
import type { ConversationName } from '../conversation.ts'
import type { Line, Row } from '../row.ts'
import { type LoadTarget, loadTargets, progress, type Stand } from '../stand.ts'
import type { Target } from '../target.ts'
import type { AnswerScript } from '../upstream.ts'

interface CpuCase {
  readonly name: string
  readonly what: string
  readonly mostMs: number
  readonly script: AnswerScript
  readonly conversation: ConversationName
  readonly streams: number
  /** Answers, all at once, before anything is measured: code is compiled and connections are opened. */
  readonly warmUp: number
  readonly rounds: number
  readonly requests: number
}

const atOnce: CpuCase = {
  name: 'at-once',
  what: 'CPU per streamed answer, 100 events at once',
  mostMs: 0.6,
  script: { events: 100, gapMs: 0, firstMs: 0 },
  conversation: 'short',
  streams: 16,
  warmUp: 3000,
  rounds: 5,
  requests: 2500
}

const paced: CpuCase = {
  name: 'paced',
  what: 'CPU per streamed answer, 100 events 20 ms apart',
  mostMs: 3.5,
  script: { events: 100, gapMs: 20, firstMs: 0 },
  conversation: 'short',
  streams: 37,
  warmUp: 2000,
  rounds: 3,
  requests: 111
}

const large: CpuCase = {
  name: 'large',
  what: 'CPU per request of 400 KB with 20 tools, 10 events',
  mostMs: 5,
  script: { events: 10, gapMs: 0, firstMs: 0 },
  conversation: 'long',
  streams: 16,
  warmUp: 400,
  rounds: 5,
  requests: 240
}

/** CPU time of the whole process tree, user and system, for each request. */
export const cpuRows: readonly Row[] = [atOnce, paced, large].map((one) => ({
  name: one.name,
  run: (stand) => measure(stand, one)
}))

async function measure(stand: Stand, one: CpuCase): Promise<readonly Line[]> {
  const rounds = stand.isQuick ? 1 : one.rounds
  const requests = stand.isQuick ? Math.ceil(one.requests / 3) : one.requests
  const warmUp = stand.isQuick ? Math.ceil(one.warmUp / 2) : one.warmUp
  return stand.withPair({}, async (pair) => {
    progress(`${one.name}: warming up`)
    await stand.warmUp(pair, { ...one, requests: warmUp })
    const to = loadTargets(pair, await stand.play(one.script))
    const ask = (target: LoadTarget, count: number) =>
      stand.load({ ...target, ...one, requests: count })
    const spend = async (target: Target, at: LoadTarget): Promise<number> => {
      const before = target.tree.cpuMs()
      await ask(at, requests)
      await delay(50) // what is left to do after the last byte belongs to it, too
      return (target.tree.cpuMs() - before) / requests
    }
    if (!stand.isQuick) {
      await ask(to.gateway, one.streams)
      await ask(to.passthrough, one.streams)
    }
    const gateway: number[] = []
    const passthrough: number[] = []
    for (let round = 0; round < rounds; round++) {
      gateway.push(await spend(pair.gateway, to.gateway))
      passthrough.push(await spend(pair.passthrough, to.passthrough))
      progress(`${one.name}: ${gateway.at(-1)!.toFixed(3)} / ${passthrough.at(-1)!.toFixed(3)} ms`)
    }
    const samples = `${rounds} × ${requests} requests, ${one.streams} at a time`
    return [
      { what: one.what, unit: 'ms', gateway, passthrough, must: { most: one.mostMs }, samples }
    ]
  })
}
