import { get } from 'node:http'
import { parseMetrics, type Scrape } from './metrics-text.ts'

/** What the gateway says of its pool, over all workers. */
export interface PoolView {
  readonly permitsOut: number
  readonly waiting: number
  readonly leased: number
  /** Of these, what belongs to workers that have died and whose sockets may live. */
  readonly leaving: number
}

/** What the gateway counts of its connections since it started; a killed worker takes its last counts along. */
export interface PoolCounts {
  readonly opened: number
  /** Calls made on a connection that was there. */
  readonly reused: number
  /** Connections that ended, by reason. */
  readonly closed: Readonly<Record<string, number>>
}

/** All processes have a word in an answer, and wait for the CPU of a busy machine. */
const ANSWER_MS = 10_000

/** Asks `/metrics`; `null` if there was no answer, as when the worker that was asked has just been killed. */
export async function viewPool(url: string, key: string): Promise<PoolView | null> {
  const scrape = await scrapeMetrics(url, key)
  if (scrape === null) return null
  return {
    permitsOut: scrape.sum('pool_permits_in_use'),
    waiting: scrape.sum('pool_waiters'),
    leased: scrape.sum('pool_permits_leased'),
    leaving: scrape.sum('pool_permits_leased', { worker: 'leaving' })
  }
}

/** The same for the counts. */
export async function countPool(url: string, key: string): Promise<PoolCounts | null> {
  const scrape = await scrapeMetrics(url, key)
  if (scrape === null) return null
  return {
    opened: scrape.sum('upstream_connections_opened_total'),
    reused: scrape.sum('connection_reuse_total'),
    closed: scrape.sumBy('upstream_connections_closed_total', 'reason')
  }
}

async function scrapeMetrics(url: string, key: string): Promise<Scrape | null> {
  const text = await fetchText(`${url}/metrics`, key)
  return text === null ? null : parseMetrics(text)
}

function fetchText(url: string, key: string): Promise<string | null> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${key}` }
    const call = get(url, { agent: false, headers, timeout: ANSWER_MS }, (response) => {
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
