import type { Row } from '../row.ts'
import { gatewayAnswer, type LoadTarget, progress, type Stand } from '../stand.ts'
import type { Target } from '../target.ts'

/** From the start of the process to a whole first answer. */
export const startRow: Row = {
  name: 'start',
  async run(stand) {
    const starts = stand.isQuick ? 1 : 5
    const options = { env: { NODE_COMPILE_CACHE: stand.nextFolder() } }
    const bytes = await stand.play({ events: 10, gapMs: 0, firstMs: 0 })
    const cold = [await timeStart(stand, gatewayAnswer, () => stand.gateway(options))]
    const warm: number[] = []
    const passthrough: number[] = []
    for (let start = 0; start < starts; start++) {
      warm.push(await timeStart(stand, gatewayAnswer, () => stand.gateway(options)))
      passthrough.push(await timeStart(stand, { bytes }, () => stand.pipe('bytes', options)))
      progress(`start: ${warm.at(-1)!.toFixed(2)} / ${passthrough.at(-1)!.toFixed(2)} s`)
    }
    const common = { unit: 's', must: { most: 1.5 } } as const
    return [
      {
        ...common,
        what: 'start to first answer',
        gateway: warm,
        passthrough,
        samples: `${starts} starts`
      },
      {
        ...common,
        what: 'start to first answer, nothing compiled before',
        gateway: cold,
        passthrough: [],
        samples: '1 start'
      }
    ]
  }
}

async function timeStart(
  stand: Stand,
  answer: LoadTarget['answer'],
  start: () => Promise<Target>
): Promise<number> {
  const startedAt = performance.now()
  const target = await start()
  const { url } = target
  await stand.load({ url, answer, conversation: 'short', streams: 1, requests: 1 })
  const tookMs = performance.now() - startedAt
  await stand.end(target)
  return tookMs / 1000
}
