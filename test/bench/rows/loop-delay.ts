import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { LoopDelay } from '../loop-delay-probe.ts'
import type { Row } from '../row.ts'
import { loadTargets, progress } from '../stand.ts'
import type { Target } from '../target.ts'

const Streams = 16

/** How late the event loops run while large requests come; the worst process counts. */
export const loopDelayRow: Row = {
  name: 'loop-delay',
  async run(stand) {
    const folder = stand.nextFolder()
    mkdirSync(folder, { recursive: true })
    const probe = new URL(
      `../loop-delay-probe.ts?to=${encodeURIComponent(folder)}`,
      import.meta.url
    )
    const env = { NODE_OPTIONS: `--import=${probe.href}` }
    const [rounds, requests] = stand.isQuick ? [1, 96] : [4, 240]
    return stand.withPair({ env }, async (pair) => {
      const load = { conversation: 'long', streams: Streams } as const
      await stand.warmUp(pair, { ...load, requests: stand.isQuick ? 96 : 400 })
      const to = loadTargets(pair, await stand.play({ events: 10, gapMs: 0, firstMs: 0 }))
      const gateway: number[] = []
      const passthrough: number[] = []
      const worst: number[] = []
      for (let round = 0; round < rounds; round++) {
        await worstLoop(pair.gateway, folder) // forgets what was before
        await stand.load({ ...load, ...to.gateway, requests })
        const ours = await worstLoop(pair.gateway, folder)
        gateway.push(ours.p99)
        worst.push(ours.worst)
        await worstLoop(pair.passthrough, folder)
        await stand.load({ ...load, ...to.passthrough, requests })
        passthrough.push((await worstLoop(pair.passthrough, folder)).p99)
        progress(`loop-delay: p99 ${ours.p99.toFixed(1)} ms, worst ${ours.worst.toFixed(1)} ms`)
      }
      const samples = `${rounds} × ${requests} requests, ${Streams} at a time`
      const common = { unit: 'ms', samples } as const
      return [
        {
          ...common,
          what: 'event-loop delay p99 under 16 × 400 KB, worst process',
          gateway,
          passthrough,
          must: { most: 20 }
        },
        {
          ...common,
          what: '  the longest single delay',
          gateway: worst,
          passthrough: [],
          must: null
        }
      ]
    })
  }
}

/** The worst of each figure over all processes since this was last asked. */
async function worstLoop({ tree }: Target, folder: string): Promise<LoopDelay> {
  const reports: LoopDelay[] = []
  for (const pid of tree.pids()) {
    process.kill(pid, 'SIGUSR2')
    reports.push(await readReport(`${folder}/${pid}`))
  }
  const worstOf = (name: keyof LoopDelay) => Math.max(...reports.map((report) => report[name]))
  return {
    p50: worstOf('p50'),
    p99: worstOf('p99'),
    worst: worstOf('worst'),
    samples: worstOf('samples')
  }
}

async function readReport(file: string): Promise<LoopDelay> {
  for (let tries = 0; tries < 500; tries++) {
    try {
      const report: LoopDelay = JSON.parse(readFileSync(file, 'utf8'))
      rmSync(file)
      return report
    } catch {
      await delay(10)
    }
  }
  throw new Error(`no report ${file}: does the process have the probe?`)
}
