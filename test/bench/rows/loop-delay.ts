import { LoopDelays } from '../loop-delays.ts'
import type { Row } from '../row.ts'
import { loadTargets, progress } from '../stand.ts'

const Streams = 16

/** How late the event loops run while large requests come; the worst process counts. */
export const loopDelayRow: Row = {
  name: 'loop-delay',
  async run(stand) {
    const delays = new LoopDelays(stand.nextFolder())
    const { env } = delays
    const [rounds, requests] = stand.isQuick ? [1, 96] : [4, 240]
    return stand.withPair({ env }, async (pair) => {
      const load = { conversation: 'long', streams: Streams } as const
      await stand.warmUp(pair, { ...load, requests: stand.isQuick ? 96 : 400 })
      const to = loadTargets(pair, await stand.play({ events: 10, gapMs: 0, firstMs: 0 }))
      const gateway: number[] = []
      const passthrough: number[] = []
      const worst: number[] = []
      for (let round = 0; round < rounds; round++) {
        await delays.worstOf(pair.gateway) // forgets what was before
        await stand.load({ ...load, ...to.gateway, requests })
        const ours = await delays.worstOf(pair.gateway)
        gateway.push(ours.p99)
        worst.push(ours.worst)
        await delays.worstOf(pair.passthrough)
        await stand.load({ ...load, ...to.passthrough, requests })
        passthrough.push((await delays.worstOf(pair.passthrough)).p99)
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
