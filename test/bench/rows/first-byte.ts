import type { Load, LoadResult } from '../load-generator.ts'
import type { Line, Row } from '../row.ts'
import { loadTargets, type Pair, progress, type Stand } from '../stand.ts'
import { quantile } from '../statistics.ts'
import { burstCase } from './burst.ts'

const Streams = { conversation: 'short', streams: 37 } as const
/** Before the upstream's first event. */
const FirstMs = 30

/** Times to the first byte of one round, of each way to the upstream. */
interface Round {
  readonly direct: readonly number[]
  readonly gateway: readonly number[]
  readonly passthrough: readonly number[]
}

/** What stands in between adds to the time that a client waits for the first byte of its answer. */
export const firstByteRow: Row = {
  name: 'first-byte',
  run: (stand) =>
    stand.withPair({}, async (pair) => {
      const rounds = stand.isQuick ? 1 : 3
      await stand.warmUp(pair, { ...Streams, requests: stand.isQuick ? 800 : 2000 })
      const running = await measure(stand, pair, rounds, {
        ...Streams,
        requests: Streams.streams * (stand.isQuick ? 1 : 4),
        thinkMs: 200
      })
      progress('first-byte: all at the same moment')
      const bursts = await measure(stand, pair, stand.isQuick ? 2 : 10, {
        ...Streams,
        requests: Streams.streams
      })
      progress('first-byte: the same on new connections')
      const newcomers = await measure(stand, pair, stand.isQuick ? 2 : 10, {
        conversation: burstCase.conversation,
        streams: burstCase.streams,
        requests: burstCase.requests,
        isFresh: true
      })
      const samples = `${rounds} × ${running[0]?.gateway.length} requests, ${Streams.streams} streams`
      const burstSamples = `${bursts.length} × ${Streams.streams} requests`
      return [
        line('first byte added, 37 streams running, p50', running, 0.5, { samples, most: 5 }),
        line('first byte added, 37 streams running, p99', running, 0.99, { samples, most: 20 }),
        line('first byte added, 37 sent at one moment, p50', bursts, 0.5, {
          samples: burstSamples,
          most: null
        }),
        line('first byte added, 37 sent at one moment, p99', bursts, 0.99, {
          samples: burstSamples,
          most: null
        }),
        ...[0.5, 0.99].map((part) =>
          line(
            `first byte added, ${burstCase.streams} sent at one moment on new connections, p${part * 100}`,
            newcomers,
            part,
            { samples: `${newcomers.length} × ${burstCase.requests} requests`, most: null }
          )
        )
      ]
    })
}

/** Rounds in turn: straight to the upstream, through the passthrough, through the gateway; the first is thrown away. */
async function measure(
  stand: Stand,
  pair: Pair,
  rounds: number,
  load: Omit<Load, 'url' | 'answer'>
): Promise<readonly Round[]> {
  // A burst is over with its first bytes; streams that run go on beside those that begin.
  const events = load.thinkMs === undefined ? 3 : 40
  const bytes = await stand.play({ events, gapMs: 20, firstMs: FirstMs })
  const to = loadTargets(pair, bytes)
  const measured: Round[] = []
  for (let round = 0; round <= rounds; round++) {
    const direct = await stand.load({ ...load, ...stand.direct, answer: { bytes } })
    const passthrough = await stand.load({ ...load, ...to.passthrough })
    const gateway = await stand.load({ ...load, ...to.gateway })
    if (round === 0) continue
    measured.push({
      direct: direct.firstByteMs,
      passthrough: passthrough.firstByteMs,
      gateway: gateway.firstByteMs
    })
    progress(
      `first-byte: p50 ${typical(gateway)} / ${typical(passthrough)}, upstream alone ${typical(direct)} ms`
    )
  }
  return measured
}

function typical({ firstByteMs }: LoadResult): string {
  return quantile(firstByteMs, 0.5).toFixed(1)
}

/** A quantile's distance from the same quantile of the upstream alone, in each round. */
function line(
  what: string,
  rounds: readonly Round[],
  part: number,
  { samples, most }: { readonly samples: string; readonly most: number | null }
): Line {
  const added = (name: 'gateway' | 'passthrough') =>
    rounds.map((round) => quantile(round[name], part) - quantile(round.direct, part))
  return {
    what,
    unit: 'ms',
    gateway: added('gateway'),
    passthrough: added('passthrough'),
    must: most === null ? null : { most },
    samples
  }
}
