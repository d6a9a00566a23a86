import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { Redis } from 'ioredis'
import t from 'tap'
import { boundReplies, clientOptions, pairsOf } from '../../src/fleet/valkey-client.ts'
import { selfSignedCertificate } from '../helper/self-signed-certificate.ts'

const MEBIBYTE = 2 ** 20

t.test('a hash is read field by field', async (t) => {
  t.same(pairsOf(['a1', '1', 'b1', '2', 'c1', '3']), { a1: '1', b1: '2', c1: '3' })
  t.same(pairsOf([]), {})
})

t.test('a reply that is longer than any of ours ends its connection', async (t) => {
  let sent = 0
  const over = Promise.withResolvers<void>()
  const flood = (socket: Socket): void => {
    while (socket.writable && sent < 64 * MEBIBYTE) {
      sent += 65_536
      if (!socket.write(Buffer.alloc(65_536, 'x'))) return
    }
    if (sent >= 64 * MEBIBYTE) over.resolve()
  }
  const server = createServer((socket) => {
    socket.on('error', () => {}).on('close', () => over.resolve())
    socket.on('data', (chunk) => {
      if (!chunk.includes('get')) return void socket.write('+OK\r\n')
      socket.write(`$${64 * MEBIBYTE}\r\n`)
      socket.on('drain', () => flood(socket))
      flood(socket)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const options = clientOptions(`redis://127.0.0.1:${port}`, 'test')
  const client = new Redis({ ...options, retryStrategy: () => null })
  t.teardown(() => client.disconnect())
  const errors: string[] = []
  client.on('error', ({ message }: Error) => errors.push(message))
  boundReplies(client)
  await client.connect()
  await t.rejects(client.get('x'))
  await over.promise
  t.ok(sent < 16 * MEBIBYTE, `${sent} bytes were on their way`)
  t.match(errors, [/more has come than a fleet says/])
})

t.test('a Valkey behind TLS may be named by its address', async (t) => {
  const { key, cert } = selfSignedCertificate()
  const server = createTlsServer({ key, cert }, (socket) => {
    socket.on('error', () => {}).on('data', () => void socket.write('+OK\r\n'))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const { tls, ...options } = clientOptions(`rediss://127.0.0.1:${port}`, 'test')
  const client = new Redis({ ...options, tls: { ...tls, ca: cert }, retryStrategy: () => null })
  t.teardown(() => client.disconnect())
  client.on('error', (error: Error) => t.fail(error.message))
  await client.connect()
  t.equal(await client.set('x', 'y'), 'OK')
})
