import { request } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { quadraticBodies } from '../../helper/quadratic-bodies.ts'
import { tally } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const AtOnce = 300
/** Connections in one turn of the loop. Their bodies come while the next connect: if all connected first, none would have to wait. */
const InTurn = 10
const Rounds = 3
/** Its conversion takes 5 ms, on a busy machine 15, and needs no thread. */
const Bytes = 24_000
const Dear = 'properties below fifty levels of allOf'
const Path = '/v1/messages/count_tokens'

/** Many clients connect at once and each has a costly conversion: those who connect next must not wait for all of these. */
export const row: AbuseRow = {
  name: 'conversions-at-once',
  what: `${Rounds} × ${AtOnce} requests at once, each on a new connection and with a conversion of 5 ms or more`,
  async attack({ url, key }) {
    const dear = quadraticBodies.find(({ name }) => name === Dear)
    if (dear === undefined) throw new Error(`there is no body of ${Dear}`)
    const body = Buffer.from(JSON.stringify(dear.bodyOf(Bytes)))
    const statuses: number[] = []
    for (let round = 0; round < Rounds; round++) {
      const asked: Promise<number>[] = []
      for (let at = 0; at < AtOnce; at++) {
        asked.push(ask(url, key, body))
        if (at % InTurn === InTurn - 1) await nextTurn()
      }
      statuses.push(...(await Promise.all(asked)))
    }
    const text = tally(statuses)
    if (statuses.some((status) => status !== 200)) throw new Error(`some were refused: ${text}`)
    return text
  }
}

/** The status, or 0 for a connection that broke. */
function ask(url: string, key: string, body: Buffer): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const call = request(new URL(Path, url), { method: 'POST', agent: false, headers })
  call.on('response', (response) => {
    response.resume().on('end', () => resolve(response.statusCode ?? 0))
    response.on('error', () => resolve(0))
  })
  call.on('error', () => resolve(0))
  call.end(body)
  return promise
}
