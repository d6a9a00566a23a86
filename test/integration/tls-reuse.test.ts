import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { skipByDay } from '../helper/nightly.ts'
import { seededRandom } from '../helper/seeded-random.ts'
import { selfSignedCertificate } from '../helper/self-signed-certificate.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

/** Even if all of them were on one worker at one time and on the other at another, 24 connections would do. */
const CLIENTS = 12
const MANY = 60
const FEW = 10
const seed = 20_261_125
const random = seededRandom(seed)
const certificate = selfSignedCertificate()

/** Connections that have carried streams, with whether each resumed a session: one that is closed says no more. */
const connections = new Map<TLSSocket, boolean>()
/** How many streams these were. */
let streams = 0

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume()
  if (!request.url?.startsWith('/generate')) {
    response.writeHead(404).end()
    return
  }
  streams += 1
  const socket = request.socket as TLSSocket
  connections.set(socket, socket.isSessionReused())
  for (let words = 1 + random() * 4; words > 0; words--) {
    response.write(textFrame('word '))
    await delay(random() * 20)
  }
  response.end(endFrame)
}

/** One stream after the other, with pauses between them: most are short, a few long. */
async function runClient(url: string, rounds: number): Promise<number> {
  let complete = 0
  for (let i = 0; i < rounds; i++) {
    await delay(random() < 0.03 ? 500 : random() * 60)
    if (isComplete(await startChat(url, 'Hello').answer)) complete += 1
  }
  return complete
}

/** Resolves with how many streams came to their regular end. */
async function runStreams(url: string, rounds: number): Promise<number> {
  connections.clear()
  streams = 0
  const counts = await Promise.all(Array.from({ length: CLIENTS }, () => runClient(url, rounds)))
  return counts.reduce((sum, count) => sum + count, 0)
}

t.test('streams with random pauses, over TLS', { skip: skipByDay }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-test-tls-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const certFile = join(folder, 'cert.pem')
  writeFileSync(certFile, certificate.cert)
  const upstream = await CountingUpstream.start(
    t,
    (request, response) => {
      void answer(request, response) // cannot reject
    },
    certificate
  )
  const gateway = await startGateway({
    upstreamUrl: upstream.url.origin,
    // Ready ones would take the place of those that the upstream closes.
    env: { WORKERS: '2', NODE_EXTRA_CA_CERTS: certFile, HTTP_MIN_IDLE_CONNECTIONS: '0' }
  })
  t.teardown(() => gateway.destroy())
  t.comment(`seed ${seed}`)

  t.test('reuse connections', async (t) => {
    t.equal(await runStreams(gateway.url, MANY), CLIENTS * MANY, 'all came whole')
    t.equal(streams, CLIENTS * MANY)
    const reused = 1 - connections.size / streams
    t.comment(
      `${streams} streams on ${connections.size} connections: ${(100 * reused).toFixed(1)} %`
    )
    t.ok(reused >= 0.95, `${connections.size} connections for ${streams} streams`)
  })

  t.test('resume their sessions when the upstream has closed everything', async (t) => {
    for (const socket of upstream.sockets) socket.end()
    await upstream.empty()
    t.equal(await runStreams(gateway.url, FEW), CLIENTS * FEW, 'all came whole')
    t.ok(connections.size > 0, 'there were new handshakes')
    const resumed = connections.values().filter((isResumed) => isResumed)
    t.equal([...resumed].length, connections.size, 'each of them resumed a session')
  })
})
