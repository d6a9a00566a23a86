import { setTimeout as delay } from 'node:timers/promises'
import { messagesBody } from '../helper/agent-request.ts'
import { ownersIn } from '../helper/own-words.ts'
import { OtherKey } from './stand.ts'

/** A request of another key that is too large for the event loop, and has to wait for a thread. */
const LARGE_BYTES = 200_000
const GAP_MS = 200
const PATIENCE_MS = 60_000

/** What requests of 200 KB of another key waited for, in milliseconds. */
export interface LargeProbe {
  readonly worstMs: number
  readonly count: number
  readonly failed: number
}

/** Asks for the tokens of 200 KB again and again with the bystanders' key, until the attack is over. */
export async function probeLarge(url: string, attack: Promise<unknown>): Promise<LargeProbe> {
  const body = new Uint8Array(messagesBody({ bytes: LARGE_BYTES, tools: 10 }))
  let isOver = false
  const over = attack.finally(() => {
    isOver = true
  })
  const waits: number[] = []
  let failed = 0
  await delay(GAP_MS)
  while (!isOver) {
    const asked = performance.now()
    const status = await post(url, { path: '/v1/messages/count_tokens', key: OtherKey, body })
    waits.push(performance.now() - asked)
    if (status !== 200) failed++
    await delay(GAP_MS)
  }
  await over
  return { worstMs: Math.max(0, ...waits), count: waits.length, failed }
}

export interface Question {
  readonly path: string
  readonly key: string
  readonly body: Uint8Array<ArrayBuffer>
  /** When its client leaves. */
  readonly leavesAfterMs?: number
}

/** The status, or 0 for a client that left or was cut off. */
export async function post(
  url: string,
  { path, key, body, leavesAfterMs = PATIENCE_MS }: Question
): Promise<number> {
  try {
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body,
      signal: AbortSignal.timeout(leavesAfterMs)
    })
    const text = Buffer.from(await response.arrayBuffer())
    if (ownersIn(text).size > 0) throw new OthersWords()
    return response.status
  } catch (error) {
    if (error instanceof OthersWords) throw error
    return 0
  }
}

class OthersWords extends Error {
  override readonly message = 'an answer to the attacker has words of others'
}

/** How many there were of each status. */
export function tally(statuses: readonly (number | string)[]): string {
  const counts = Map.groupBy(statuses, (status) => status)
  return [...counts].map(([status, all]) => `${all.length} × ${status || 'left'}`).join(', ')
}

/** For a row's report. @throws if another key waited too long, or was refused */
export function tell({ worstMs, count, failed }: LargeProbe, mostMs: number): string {
  const text = `200 KB of another key: ${worstMs.toFixed(0)} ms at most of ${count}, ${failed} refused`
  if (worstMs > mostMs || failed > 0 || count === 0) throw new Error(`${text}, must be ${mostMs}`)
  return text
}
