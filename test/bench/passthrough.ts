import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Pool } from 'undici'

/**
 * What the gateway is compared with: the least that a Node process can do between a client and the upstream. Bytes
 * in, bytes out, one pool, connections reused; nothing is read, checked, limited, counted or logged.
 *
 * `node test/bench/passthrough.ts <upstream url>` prints its port.
 */

const pool = new Pool(process.argv[2] ?? 'http://127.0.0.1:8001', {
  connections: 300,
  pipelining: 1,
  allowH2: false,
  keepAliveTimeout: 300_000
})
const server = createServer({ keepAliveTimeout: 300_000 }, pass)

server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`)
})
process.once('SIGTERM', () => process.exit(0))

function pass(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => void chunks.push(chunk))
  request.once('end', () => ask(request, Buffer.concat(chunks), response))
}

function ask(request: IncomingMessage, body: Buffer, response: ServerResponse): void {
  pool.dispatch(
    {
      path: request.url ?? '/',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body
    },
    {
      onRequestStart: (controller) => {
        response.once('close', () => {
          if (!response.writableFinished) controller.abort(new Error('the client left'))
        })
        response.on('drain', () => controller.resume())
      },
      onResponseStart: (_controller, status, headers) => {
        response.writeHead(status, { 'content-type': String(headers['content-type']) })
      },
      onResponseData: (controller, chunk) => {
        if (!response.write(chunk)) controller.pause()
      },
      onResponseEnd: () => void response.end(),
      onResponseError: () => void response.destroy()
    }
  )
}
