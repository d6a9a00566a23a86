import cluster from 'node:cluster'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Pool } from 'undici'
import { openFiles, PlainDuties } from './plain-duties.ts'
import { contentTypeOf, PlainTranslation } from './plain-translation.ts'

/**
 * What the gateway is compared with, the least that a Node process can do between a client and the upstream: one pool,
 * connections reused; of requests nothing is read, and nothing is limited, counted or logged.
 *
 * `node test/bench/pipe.ts bytes <upstream url>` gives answers as they come, and so does less than any gateway;
 * `… translating …` decodes their frames and writes what the client of the path's dialect reads; `… dutiful …` does that and what
 * a gateway has to do with each request, in two workers below a primary. Prints its port.
 */

const [, , kind = 'bytes', upstreamUrl = 'http://127.0.0.1:8001'] = process.argv
const isDutiful = kind === 'dutiful'

if (isDutiful && cluster.isPrimary) manage(2)
else {
  process.once('SIGTERM', () => process.exit(0))
  serve()
}

/** Ends with its workers, and when one of them does. */
function manage(workers: number): void {
  let listening = 0
  let left = workers
  let code = 1
  cluster.schedulingPolicy = cluster.SCHED_NONE
  cluster.on('listening', (_, { port }) => {
    listening += 1
    if (listening === workers) tell(port)
  })
  cluster.on('exit', () => {
    left -= 1
    if (left === 0) process.exit(code)
    endWorkers()
  })
  process.once('SIGTERM', () => {
    code = 0
    endWorkers()
  })
  for (let worker = 0; worker < workers; worker++) cluster.fork()
}

function endWorkers(): void {
  for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill()
}

function serve(): void {
  const files = isDutiful ? openFiles() : null
  const pool = new Pool(upstreamUrl, {
    connections: 300,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: 300_000
  })
  const server = createServer({ keepAliveTimeout: 300_000 }, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => void chunks.push(chunk))
    request.once('end', () => {
      const body = Buffer.concat(chunks)
      const duties = files === null ? null : new PlainDuties(request, body, files)
      ask(pool, { request, response, body, duties })
    })
  })
  server.listen(0, '127.0.0.1', 1024, () => {
    const address = server.address()
    if (cluster.isPrimary && address !== null && typeof address === 'object') tell(address.port)
  })
}

interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly body: Buffer
  readonly duties: PlainDuties | null
}

function ask(pool: Pool, { request, response, body, duties }: Call): void {
  const path = request.url ?? '/'
  const translation = kind === 'bytes' ? null : new PlainTranslation(path, isDutiful)
  const headers = duties?.headers ?? { 'content-type': 'application/json' }
  pool.dispatch(
    { path, method: 'POST', headers, body: duties?.body ?? body },
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
        duties?.heard(chunk)
        const out = translation === null ? chunk : translation.push(chunk)
        if (out.length > 0 && !response.write(out)) controller.pause()
      },
      onResponseEnd: () => {
        response.end(translation?.end())
        duties?.end(response.statusCode)
      },
      onResponseError: () => void response.destroy()
    }
  )
}

function tell(port: number): void {
  process.stdout.write(`${port}\n`)
}
