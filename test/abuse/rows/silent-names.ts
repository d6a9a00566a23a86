import { createSocket } from 'node:dgram'
import type { AbuseRow } from '../row.ts'

const Requests = 8
const UrlsEach = 20
const Seconds = 15
const Server = { address: '127.0.0.77', port: 15_353 }

/**
 * Images whose names nobody answers for must not hold up those who need a new connection to the upstream, which here
 * is each of them and has a name, too.
 */
export const row: AbuseRow = {
  name: 'silent-names',
  what: `${Requests} requests × ${UrlsEach} images by URL whose names nobody answers for, every call on a new connection`,
  upstreamHost: 'localhost',
  settings: {
    DNS_SERVERS: `${Server.address}:${Server.port}`,
    HTTP_MAX_KEEPALIVE_CONNECTIONS: '0'
  },
  async attack({ url, key }) {
    const names = createSocket('udp4')
    let questions = 0
    names.on('message', () => (questions += 1))
    await new Promise<void>((resolve) => names.bind(Server.port, Server.address, resolve))
    try {
      const ends = await Promise.all(
        Array.from({ length: Requests }, (_, index) => askWithImages(url, key, index))
      )
      const left = ends.filter((end) => end === 'left').length
      return `${questions} questions; ${left} clients left after ${Seconds} s, the others were answered ${ends.filter((end) => end !== 'left').join(', ')}`
    } finally {
      names.close()
    }
  }
}

async function askWithImages(url: string, key: string, request: number): Promise<number | 'left'> {
  const images = Array.from({ length: UrlsEach }, (_, image) => ({
    type: 'image_url',
    image_url: { url: `http://${image}.of-${request}.silent.example/image.png` }
  }))
  try {
    const answer = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'claude-haiku-4.5',
        messages: [{ role: 'user', content: [{ type: 'text', text: 'What is this?' }, ...images] }]
      }),
      signal: AbortSignal.timeout(Seconds * 1000)
    })
    await answer.text()
    return answer.status
  } catch {
    return 'left'
  }
}
