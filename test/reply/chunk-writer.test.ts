import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate as nextTask } from 'node:timers/promises'
import t from 'tap'
import { ChunkWriter } from '../../src/reply/stream-reply.ts'
import { serverUrl } from '../helper/server-url.ts'

type Answer = (writer: ChunkWriter, response: ServerResponse) => void

/** All that a client gets which sends `requests` at once on one connection and then closes its side. */
async function bytesOf(t: Tap, requests: string, answers: readonly Answer[]): Promise<string> {
  const left = [...answers]
  const server = createServer((_request, response) => {
    response.sendDate = false
    left.shift()?.(new ChunkWriter(response), response)
  })
  const url = await serverUrl(server)
  t.teardown(() => server.close())
  const socket = connect(Number(url.port), url.hostname)
  socket.write(requests)
  return text(socket)
}

const last = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'

/** Each chunk in a task of its own, or all in the same. */
async function writeEach(
  chunks: readonly string[],
  isOneTask: boolean,
  write: (chunk: string) => unknown
) {
  for (const chunk of chunks) {
    write(chunk)
    if (!isOneTask) await nextTask()
  }
}

t.test('ChunkWriter', async (t) => {
  for (const isOneTask of [false, true]) {
    const when = isOneTask ? 'in one task' : 'one after the other'
    t.test(`frames chunks as Node does, ${when}`, async (t) => {
      const chunks = ['a', 'über — 👩‍💻', 'x'.repeat(70_000), ' ', '\r\n']
      const [ours, theirs] = await Promise.all([
        bytesOf(t, last, [
          (writer, response) =>
            void writeEach(chunks, isOneTask, (chunk) => writer.write(chunk)).then(() =>
              response.end('end')
            )
        ]),
        bytesOf(t, last, [
          (_writer, response) =>
            void writeEach(chunks, isOneTask, (chunk) => response.write(chunk)).then(() =>
              response.end('end')
            )
        ])
      ])
      t.equal(ours, theirs)
      if (!isOneTask) t.match(ours, /^HTTP\/1.1 200 OK\r\n.*\r\n\r\n1\r\na\r\n15\r\nüber/s)
    })

    t.test(`ends no stream by writing nothing, ${when}: an empty chunk is the last`, async (t) => {
      const chunks = ['', 'a', '', 'b', '']
      const got = await bytesOf(t, last, [
        (writer, response) =>
          void writeEach(chunks, isOneTask, (chunk) => t.ok(writer.write(chunk))).then(() =>
            response.end('end')
          )
      ])
      // In one task Node 26 makes one chunk of them.
      t.match(got, /\r\n\r\n(1\r\na\r\n1\r\nb|2\r\nab)\r\n3\r\nend\r\n0\r\n\r\n$/)
    })
  }

  t.test('hands the pieces of a chunk to the system together', async (t) => {
    const calls: string[] = []
    const got = await bytesOf(t, last, [
      async (writer, response) => {
        writer.write('head')
        await nextTask()
        const { socket } = response
        for (const name of ['_write', '_writev'] as const) {
          const real = socket?.[name]?.bind(socket) as (...args: readonly unknown[]) => void
          Object.assign(socket ?? {}, {
            [name]: (...args: readonly unknown[]) => {
              calls.push(name)
              real(...args)
            }
          })
        }
        writer.write([Buffer.from('a'), Buffer.from('b'), Buffer.from('c')])
        t.same(calls, ['_writev'])
        response.end()
      }
    ])
    t.match(got, '\r\n3\r\nabc\r\n')
  })

  t.test('leaves a body without framing to clients that know none', async (t) => {
    const got = await bytesOf(t, 'GET / HTTP/1.0\r\n\r\n', [
      (writer, response) => {
        writer.write('a')
        writer.write('b')
        response.end('c')
      }
    ])
    t.match(got, /\r\n\r\nabc$/)
  })

  t.test('keeps the order of answers on a connection', async (t) => {
    const first = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
    const later: (() => void)[] = []
    const got = await bytesOf(t, first + last, [
      (writer, response) => {
        writer.write('a1')
        later.push(() => {
          writer.write('a2')
          response.end()
        })
      },
      (writer, response) => {
        t.equal(response.socket, null, 'it waits for the first answer')
        writer.write('b1')
        writer.write('b2')
        for (const end of later) end()
        response.end()
      }
    ])
    t.equal(got.match(/[ab]\d/g)?.join(), 'a1,a2,b1,b2')
  })

  t.test('waits for no client that has taken a long beginning at once', async (t) => {
    const parts = ['x', Buffer.alloc(70_000, 'y'), 'z']
    const got = await bytesOf(t, last, [
      (writer, response) => {
        // As an answer comes: in a later task than its request.
        setImmediate(() => {
          if (writer.write(parts)) response.end('end')
          else writer.onceDrained(() => response.end('end'))
        })
      }
    ])
    t.match(got, /z\r\n3\r\nend\r\n0\r\n\r\n$/)
  })

  t.test('says when the client should read first, and when it has', async (t) => {
    for (const isFirst of [true, false]) {
      const drained = Promise.withResolvers<void>()
      const server = createServer((_request, response) => {
        const writer = new ChunkWriter(response)
        if (!isFirst) t.equal(writer.write('small'), true)
        t.equal(writer.write('x'.repeat(16 * 2 ** 20)), false)
        writer.onceDrained(drained.resolve)
        void drained.promise.then(() => response.end())
      })
      const url = await serverUrl(server)
      t.teardown(() => server.close())
      const socket = connect(Number(url.port), url.hostname)
      socket.write(last)
      socket.resume()
      await Promise.all([drained.promise, once(socket, 'close')])
    }
  })

  t.test('forgets a listener that was taken back', async (t) => {
    const fail = (): void => void t.fail('nobody listens any more')
    for (const isFirst of [true, false]) {
      const server = createServer((_request, response) => {
        const writer = new ChunkWriter(response)
        if (!isFirst) writer.write('small')
        writer.write('x'.repeat(16 * 2 ** 20))
        writer.onceDrained(fail)
        writer.off(fail)
        response.end()
      })
      const url = await serverUrl(server)
      t.teardown(() => server.close())
      const socket = connect(Number(url.port), url.hostname)
      socket.write(last)
      socket.resume()
      await once(socket, 'close')
    }
  })
})

interface Tap {
  teardown(close: () => unknown): void
}
