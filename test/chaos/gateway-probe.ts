import { get } from 'node:http'
import { parseMetrics } from './metrics-text.ts'

/** What the gateway says of its pool, over all workers. */
export interface PoolView {
  readonly permitsOut: number
  readonly waiting: number
  readonly leased: number
  /** Of these, what belongs to workers that have died and whose sockets may live. */
  readonly leaving: number
}

/** Asks `/metrics`; `null` if there was no answer, as when the worker that was asked has just been killed. */
export async function viewPool(url: string, key: string): Promise<PoolView | null> {
  const text = await fetchText(`${url}/metrics`, key)
  if (text === null) return null
  const scrape = parseMetrics(text)
  return {
    permitsOut: scrape.sum('pool_permits_in_use'),
    waiting: scrape.sum('pool_waiters'),
    leased: scrape.sum('pool_permits_leased'),
    leaving: scrape.sum('pool_permits_leased', { worker: 'leaving' })
  }
}

function fetchText(url: string, key: string): Promise<string | null> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${key}` }
    const call = get(url, { agent: false, headers, timeout: 3000 }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (piece: string) => {
        text += piece
      })
      response.on('error', () => {}) // told by `complete`
      response.on('close', () =>
        resolve(response.complete && response.statusCode === 200 ? text : null)
      )
    })
    call.on('timeout', () => call.destroy())
    call.on('error', () => resolve(null))
  })
}
