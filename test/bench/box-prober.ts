import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { serve } from '../helper/subprocess.ts'

/** Small requests while a box is under load, in turn at the gateway and straight at its upstream, in a process of its own. */

export type ProberQuestion =
  | { readonly type: 'begin'; readonly gateway: Place; readonly upstream: Place }
  | { readonly type: 'end' }

export interface Place {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Times to the first byte of an answer, in milliseconds, and what was no answer. */
export interface ProberFigures {
  readonly gateway: readonly number[]
  readonly upstream: readonly number[]
  readonly problems: readonly string[]
}

const PAUSE_MS = 40
const LANES = 4
const PATIENCE_MS = 30_000

let figures = empty()
let over = new AbortController()
let lanes: Promise<unknown> = Promise.resolve()

serve(async (question: ProberQuestion): Promise<ProberFigures> => {
  if (question.type === 'begin') {
    figures = empty()
    over = new AbortController()
    const { signal } = over
    lanes = Promise.all(Array.from({ length: LANES }, () => probe(question, signal)))
    return figures
  }
  over.abort()
  await lanes
  return figures
})

async function probe(
  { gateway, upstream }: Extract<ProberQuestion, { type: 'begin' }>,
  signal: AbortSignal
): Promise<void> {
  while (!signal.aborted) {
    await ask(upstream, figures.upstream, figures.problems)
    await ask(gateway, figures.gateway, figures.problems)
    await delay(PAUSE_MS)
  }
}

/** Resolves when the answer is over. */
function ask({ url, headers, body }: Place, times: number[], problems: string[]): Promise<void> {
  return new Promise((resolve) => {
    const sentAt = performance.now()
    const call = request(url, { method: 'POST', headers, agent: false, timeout: PATIENCE_MS })
    call.on('timeout', () => call.destroy(new Error(`silent for ${PATIENCE_MS} ms`)))
    call.on('error', ({ message }) => problems.push(message))
    call.on('close', resolve)
    call.on('response', (response) => {
      if (response.statusCode !== 200) problems.push(`status ${response.statusCode}`)
      response.once('data', () => times.push(performance.now() - sentAt))
      response.on('error', () => {}) // the request says it
      response.resume()
    })
    call.end(body)
  })
}

function empty(): { gateway: number[]; upstream: number[]; problems: string[] } {
  return { gateway: [], upstream: [], problems: [] }
}
