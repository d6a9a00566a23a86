import type { Row } from '../row.ts'
import { type LoadTarget, loadTargets, progress, type Stand } from '../stand.ts'

const Streams = 37

/** How many requests came on a connection that was open already, as the upstream counts. */
export const reuseRow: Row = {
  name: 'reuse',
  run: (stand) =>
    stand.withPair({}, async (pair) => {
      const requests = Streams * (stand.isQuick ? 25 : 80)
      const to = loadTargets(pair, await stand.play({ events: 10, gapMs: 5, firstMs: 0 }))
      const gateway = [await reuse(stand, to.gateway, requests)]
      const passthrough = [await reuse(stand, to.passthrough, requests)]
      progress(`reuse: ${gateway[0]} / ${passthrough[0]} %`)
      const samples = `${requests} requests from the start, ${Streams} streams`
      const what = 'connection reuse over a run of streams'
      return [{ what, unit: '%', gateway, passthrough, must: { least: 95 }, samples }]
    })
}

async function reuse(stand: Stand, to: LoadTarget, requests: number): Promise<number> {
  const before = await stand.count()
  await stand.load({ ...to, conversation: 'short', streams: Streams, requests, thinkMs: 20 })
  const after = await stand.count()
  const opened = after.connections - before.connections
  return (1 - opened / (after.requests - before.requests)) * 100
}
