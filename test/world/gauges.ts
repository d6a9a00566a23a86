import { get } from 'node:http'
import { CLIENT_KEY } from './gateway.ts'

const SAMPLE = /^([a-z_]+)(?:\{.*\})? (\S+)$/

/** Asks the gateway at this port for its metrics, as Prometheus does. Returns each metric by name, with its samples added up. */
export async function readGauges(port: number): Promise<ReadonlyMap<string, number>> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const request = get({
    host: '127.0.0.1',
    port,
    path: '/metrics',
    agent: false,
    headers: { authorization: `Bearer ${CLIENT_KEY}` }
  })
  request.once('error', reject).once('response', (response) => {
    let body = ''
    response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
    response.once('end', () => resolve(body)).once('error', reject)
  })
  const gauges = new Map<string, number>()
  for (const line of (await promise).split('\n')) {
    const [, name, value] = SAMPLE.exec(line) ?? []
    if (name !== undefined) gauges.set(name, (gauges.get(name) ?? 0) + Number(value))
  }
  return gauges
}
