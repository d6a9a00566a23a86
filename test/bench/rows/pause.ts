import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { createServer, type Server } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startChat } from '../../helper/chat-client.ts'
import { delayingProxy } from '../../helper/delaying-proxy.ts'
import { startGateway } from '../../helper/gateway-process.ts'
import { selfSignedCertificate } from '../../helper/self-signed-certificate.ts'
import { serverUrl } from '../../helper/server-url.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'
import type { Line, Row } from '../row.ts'
import { progress, type Stand } from '../stand.ts'
import { median } from '../statistics.ts'

/** There and back, as to an upstream some hundred kilometres away. */
const RoundTripMs = 30
/** Longer than connections may sit idle, so that the last request's is gone. */
const PauseMs = 3500
const ExpiryS = '2.5'

const answer: RequestListener = (request, response) => {
  request.resume().on('end', () => response.end(Buffer.concat([textFrame('word'), endFrame])))
}

/** What the first request after a pause waits for: a connection over TLS, to an upstream 30 ms away. */
export const pauseRow: Row = { name: 'pause', isOwn: true, run: measure }

async function measure(stand: Stand): Promise<readonly Line[]> {
  const closers: (() => unknown)[] = []
  const t = { teardown: (close: () => unknown) => void closers.push(close) }
  const rounds = stand.isQuick ? 3 : 12
  const certificate = selfSignedCertificate()
  const folder = mkdtempSync(join(tmpdir(), 'kiro-gateway-pause-'))
  const certFile = join(folder, 'certificate.pem')
  writeFileSync(certFile, certificate.cert)
  const server = createServer({ ...certificate, keepAliveTimeout: 0 }, answer)
  const { port } = await serverUrl(server, 'https')
  t.teardown(() => server.closeAllConnections())
  t.teardown(() => server.close())
  t.teardown(() => rmSync(folder, { recursive: true }))
  const proxy = await delayingProxy(t, { port: Number(port), delayMs: RoundTripMs / 2 })
  const firstBytes = async (minIdle: number, prepare: (server: Server) => void) => {
    const env = {
      WORKERS: '1',
      NODE_EXTRA_CA_CERTS: certFile,
      HTTP_KEEPALIVE_EXPIRY: ExpiryS,
      HTTP_MIN_IDLE_CONNECTIONS: String(minIdle)
    }
    const gateway = await startGateway({
      upstreamUrl: `https://127.0.0.1:${proxy.port}`,
      env,
      isMeasured: true
    })
    for (let i = 0; i < 50; i++) await startChat(gateway.url, 'Hello').answer
    const times = []
    for (let round = 0; round < rounds; round++) {
      await delay(PauseMs)
      prepare(server)
      const startedAt = performance.now()
      const call = startChat(gateway.url, 'Hello')
      await call.firstBytes
      times.push(performance.now() - startedAt)
      await call.answer
    }
    await gateway.destroy()
    progress(`pause: ${median(times).toFixed(1)} ms`)
    return times
  }
  try {
    // With other keys the server does not know the sessions that it gave: a handshake as for the first time.
    const cold = await firstBytes(0, () => server.setTicketKeys(randomBytes(48)))
    const resumed = await firstBytes(0, () => {})
    const ready = await firstBytes(2, () => {})
    const samples = `${rounds} requests, each after ${PauseMs / 1000} s`
    const what = `first byte after a pause, over TLS ${RoundTripMs} ms away`
    const line = { unit: 'ms', passthrough: [], must: null, samples } as const
    return [
      { ...line, what: `${what}, new connection`, gateway: cold },
      { ...line, what: `${what}, new one, session resumed`, gateway: resumed },
      {
        ...line,
        what: `${what}, HTTP_MIN_IDLE_CONNECTIONS=2`,
        gateway: ready,
        must: { most: RoundTripMs + 10 }
      }
    ]
  } finally {
    for (const close of closers.toReversed()) await close()
  }
}
