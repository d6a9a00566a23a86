import { copyFileSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Load } from '../load-generator.ts'
import type { Line, Row } from '../row.ts'
import { loadTargets, type Pair, progress, type Stand } from '../stand.ts'
import type { Target } from '../target.ts'

const SampleMs = 150

/**
 * Memory of the whole process tree as PSS. Run by a copy of Node of their own, as in a container: else the processes
 * of the bench would carry their part of Node's shared pages.
 */
export const memoryRow: Row = {
  name: 'memory',
  async run(stand) {
    const node = `${stand.nextFolder()}-node`
    copyFileSync(stand.node, node)
    try {
      return await stand.withPair({ node }, (pair) => measure(stand, pair))
    } finally {
      rmSync(node)
    }
  }
}

async function measure(stand: Stand, pair: Pair): Promise<readonly Line[]> {
  const settleMs = stand.isQuick ? 500 : 4000
  const small = await stand.play({ events: 10, gapMs: 0, firstMs: 0 })
  const one = { conversation: 'short', streams: 1, requests: 1 } as const
  await stand.load({ ...loadTargets(pair, small).gateway, ...one })
  await stand.load({ ...loadTargets(pair, small).passthrough, ...one })
  await delay(settleMs)
  const idle = now(pair)
  progress(`memory: idle ${idle[0].toFixed(1)} / ${idle[1].toFixed(1)} MB`)

  const events = stand.isQuick ? 15 : 100
  const open = loadTargets(pair, await stand.play({ events, gapMs: 100, firstMs: 0 }))
  const streams = { conversation: 'short', streams: 300, requests: 300 } as const
  const streaming = await peaks(stand, pair, open, streams)
  progress(`memory: 300 streams ${streaming.both[0].toFixed(1)} MB`)

  const many = loadTargets(pair, await stand.play({ events: 10, gapMs: 0, firstMs: 0 }))
  const requests = stand.isQuick ? 96 : 800
  const bodies = await peaks(stand, pair, many, { conversation: 'long', streams: 16, requests })
  progress(`memory: 16 × 400 KB ${bodies.both[0].toFixed(1)} MB`)
  await delay(settleMs)
  const after = now(pair)

  return [
    line('memory idle, after one answer', idle, 160, `once, after ${settleMs / 1000} s`),
    line('memory with 300 streams open', streaming.both, 210, `highest of ${streaming.samples}`),
    line(
      'memory under 16 × 400 KB',
      bodies.both,
      260,
      `highest of ${bodies.samples}, ${requests} requests`
    ),
    line('  idle again, after all that', after, null, `once, after ${settleMs / 1000} s`)
  ]
}

/** Megabytes of gateway and passthrough. */
type Both = readonly [gateway: number, passthrough: number]

interface Peaks {
  readonly both: Both
  readonly samples: number
}

async function peaks(
  stand: Stand,
  pair: Pair,
  to: ReturnType<typeof loadTargets>,
  load: Omit<Load, 'url' | 'answer'>
): Promise<Peaks> {
  const [gateway, samples] = await peak(pair.gateway, stand.load({ ...to.gateway, ...load }))
  const [passthrough] = await peak(pair.passthrough, stand.load({ ...to.passthrough, ...load }))
  return { both: [gateway, passthrough], samples }
}

/** The highest of the samples taken until `work` is over, and how many there were. */
async function peak({ tree }: Target, work: Promise<unknown>): Promise<readonly [number, number]> {
  let isOver = false
  const over = work.finally(() => {
    isOver = true
  })
  let highest = 0
  let samples = 0
  while (!isOver) {
    highest = Math.max(highest, tree.pssMb())
    samples += 1
    await delay(SampleMs)
  }
  await over
  return [highest, samples]
}

function now({ gateway, passthrough }: Pair): Both {
  return [gateway.tree.pssMb(), passthrough.tree.pssMb()]
}

function line(
  what: string,
  [gateway, passthrough]: Both,
  most: number | null,
  samples: string
): Line {
  return {
    what,
    unit: 'MB',
    gateway: [gateway],
    passthrough: [passthrough],
    must: most === null ? null : { most },
    samples
  }
}
