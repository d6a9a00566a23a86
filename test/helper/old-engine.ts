import { connect, createServer } from 'node:net'
import { serverUrl } from './server-url.ts'

/** Passes everything on to an engine on loopback, which looks like one of version 6 through it. */
export async function oldEngine(
  t: { teardown(close: () => unknown): void },
  port: number
): Promise<string> {
  const server = createServer((client) => {
    const engine = connect({ host: '127.0.0.1', port })
    client.pipe(engine)
    engine.on('data', (chunk) => {
      const text = chunk.toString('latin1').replace(/(redis_version:)[0-9]/, '$16')
      client.write(Buffer.from(text, 'latin1'))
    })
    for (const socket of [client, engine]) {
      socket
        .on('error', () => {})
        .on('close', () => {
          client.destroy()
          engine.destroy()
        })
    }
  })
  const { port: own } = await serverUrl(server)
  t.teardown(() => server.close())
  return `redis://127.0.0.1:${own}`
}
