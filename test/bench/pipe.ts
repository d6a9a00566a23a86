import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Pool } from 'undici'
import { contentTypeOf, PlainTranslation } from './plain-translation.ts'

/**
 * What the gateway is compared with, the least that a Node process can do between a client and the upstream: one pool,
 * connections reused; of requests nothing is read, and nothing is limited, counted or logged.
 *
 * `node test/bench/pipe.ts bytes <upstream url>` gives answers as they come, and so does less than any gateway;
 * `… translating …` decodes their frames and writes what the client of the path's dialect reads. Prints its port.
 */

const [, , kind = 'bytes', upstreamUrl = 'http://127.0.0.1:8001'] = process.argv
const pool = new Pool(upstreamUrl, {
  connections: 300,
  pipelining: 1,
  allowH2: false,
  keepAliveTimeout: 300_000
})
const server = createServer({ keepAliveTimeout: 300_000 }, pass)

server.listen(0, '127.0.0.1', 1024, () => {
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
  const path = request.url ?? '/'
  const translation = kind === 'translating' ? new PlainTranslation(path) : null
  pool.dispatch(
    { path, method: 'POST', headers: { 'content-type': 'application/json' }, body },
    {
      onRequestStart: (controller) => {
        response.once('close', () => {
          if (!response.writableFinished) controller.abort(new Error('the client left'))
        })
        response.on('drain', () => controller.resume())
      },
      onResponseStart: (_controller, status, headers) => {
        const type = translation === null ? String(headers['content-type']) : contentTypeOf(status)
        response.writeHead(status, { 'content-type': type })
      },
      onResponseData: (controller, chunk) => {
        const out = translation === null ? chunk : translation.push(chunk)
        if (out.length > 0 && !response.write(out)) controller.pause()
      },
      onResponseEnd: () => void response.end(translation?.end()),
      onResponseError: () => void response.destroy()
    }
  )
}
