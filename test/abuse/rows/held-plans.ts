import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { probeLarge, tally, tell } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const Streams = 200
const Seconds = 20
const Prompt = 'sim:events=400 sim:gap=40'

/** What running answers need of their requests is counted: they can't fill a worker with it. */
export const row: AbuseRow = {
  name: 'held-plans',
  what: `${Streams} streams that go on for ${Seconds} s, each with 120 tools of 252 KB and all the stop strings there may be`,
  async attack({ url, key }) {
    const body = toBody()
    const streams = Promise.all(Array.from({ length: Streams }, () => stream(url, key, body)))
    const probe = await probeLarge(url, Promise.race([streams, delay(Seconds * 1000)]))
    return `${tally(await streams)}; ${tell(probe, 6000)}`
  }
}

function toBody(): Buffer {
  const properties = Object.fromEntries(
    Array.from({ length: 50 }, (_, at) => [`property_${at}_${'p'.repeat(12)}`, { type: 'string' }])
  )
  const tools = Array.from({ length: 120 }, (_, at) => ({
    type: 'function',
    function: { name: `tool_${at}_${'t'.repeat(40)}`, parameters: { type: 'object', properties } }
  }))
  const stop = Array.from({ length: 4 }, (_, at) => `${at}${'s'.repeat(4000)}`)
  const messages = [{ role: 'user', content: Prompt }]
  return Buffer.from(JSON.stringify({ model: 'auto', stream: true, messages, tools, stop }))
}

/** Its status; its client leaves when the attack is over. */
function stream(url: string, key: string, body: Buffer): Promise<number> {
  return new Promise((resolve) => {
    let status = 0
    const call = request(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-length': body.byteLength }
    })
    call.setTimeout(0)
    const timer = setTimeout(() => call.destroy(), Seconds * 1000)
    call.on('response', (response) => {
      status = response.statusCode ?? 0
      response.resume()
    })
    call.on('error', () => {}) // it leaves
    call.on('close', () => {
      clearTimeout(timer)
      resolve(status)
    })
    call.end(body)
  })
}
