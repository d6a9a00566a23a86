import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { encodeFrame } from '../../src/frames/frame-encoder.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { CountingProxy } from '../helper/counting-proxy.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { selfSignedCertificate } from '../helper/self-signed-certificate.ts'
import { serverUrl } from '../helper/server-url.ts'
import { skipByDay } from '../helper/nightly.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const BUDGET = 6
const STREAMS = 300
const ofProxy = selfSignedCertificate()
const ofUpstream = selfSignedCertificate('upstream.test')
const folder = mkdtempSync(join(tmpdir(), 'gateway-proxy-'))
t.teardown(() => rmSync(folder, { recursive: true }))
const caFile = join(folder, 'ca.pem')
writeFileSync(caFile, ofProxy.cert + ofUpstream.cert)

const headers = { ':message-type': 'event', ':event-type': 'assistantResponseEvent' }
const frame = encodeFrame(headers, JSON.stringify({ content: 'hi' }))

/** Ten frames, a few milliseconds apart; anything but a generation is not known. */
const answer: RequestListener = (request, response) => {
  request.resume().on('end', () => {
    if (request.url?.startsWith('/generate') !== true) {
      response.writeHead(404).end('{}')
      return
    }
    let left = 10
    const timer = setInterval(() => {
      response.write(frame)
      left -= 1
      if (left > 0) return
      clearInterval(timer)
      response.end()
    }, 3)
    response.once('close', () => clearInterval(timer))
  })
}

const rows = [
  { kind: 'http', setting: 'VPN_PROXY_URL', certificate: undefined, skip: skipByDay },
  { kind: 'https', setting: 'HTTPS_PROXY', certificate: ofUpstream, skip: false },
  { kind: 'socks5', setting: 'VPN_PROXY_URL', certificate: ofUpstream, skip: skipByDay }
] as const

for (const { kind, setting, certificate, skip } of rows) {
  t.test(`${kind}: streams of the whole cluster, through ${setting}`, { skip }, async (t) => {
    const upstream = await CountingUpstream.start(t, answer, certificate)
    const proxy = await CountingProxy.start(t, kind, {
      credentials: 'me:hunter2',
      certificate: ofProxy
    })
    for (const counter of [proxy, upstream]) counter.ceiling = BUDGET
    const gateway = await startGateway({
      upstreamUrl: `${upstream.url.protocol}//upstream.test:${upstream.url.port}`,
      env: {
        [setting]: proxy.url,
        NODE_EXTRA_CA_CERTS: caFile,
        WORKERS: '2',
        HTTP_MAX_CONNECTIONS: String(BUDGET),
        HTTP_MAX_KEEPALIVE_CONNECTIONS: String(BUDGET)
      }
    })
    t.teardown(() => gateway.destroy())

    const calls = Array.from({ length: STREAMS }, () => startChat(gateway.url, 'x').answer)
    t.ok((await Promise.all(calls)).every(isComplete), 'every stream came to its end')
    t.ok(proxy.max <= BUDGET, `${proxy.max} connections at once`)
    t.ok(upstream.max <= BUDGET)
    t.ok(proxy.sockets.length <= STREAMS * 0.1, `${proxy.sockets.length} for ${STREAMS} streams`)
    const target = `upstream.test:${upstream.url.port}`
    t.same(new Set(proxy.targets), new Set([target]), 'by its name')
    t.equal(proxy.targets.length, upstream.sockets.length, 'nothing went past the proxy')

    const [victim] = gateway.workerPids()
    const before = Array.from({ length: 20 }, () => startChat(gateway.url, 'x'))
    await Promise.any(before.map(({ firstBytes }) => firstBytes))
    process.kill(victim ?? 0, 'SIGKILL')
    await Promise.all(before.map((call) => call.answer))
    const after = Array.from({ length: 20 }, () => startChat(gateway.url, 'x').answer)
    t.ok((await Promise.all(after)).filter(isComplete).length > 0)
    t.ok(proxy.max <= BUDGET, `${proxy.max} connections at once, a worker's death included`)

    const log = await gateway.logged(({ msg }) => msg === 'upstream is called through a proxy')
    t.match(log, { proxy: `${kind}://127.0.0.1:${proxy.port}`, setting })
    t.equal(await gateway.stop(), 0)
    await proxy.empty()
    t.notMatch(JSON.stringify(gateway.lines) + gateway.stderr, 'hunter2')
  })
}

/** What a client reads when the proxy at this address is no help, and what the log says. */
async function failureThrough(t: Test, proxyUrl: string) {
  const gateway = await startGateway({
    upstreamUrl: 'http://upstream.test:8080',
    env: { VPN_PROXY_URL: proxyUrl, WORKERS: '1', UPSTREAM_MAX_ATTEMPTS: '1' }
  })
  t.teardown(() => gateway.destroy())
  const { status, text } = await startChat(gateway.url, 'x').answer
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text()
  await gateway.stop()
  return { status, text, everything: text + metrics + JSON.stringify(gateway.lines) }
}

t.test('a proxy that refuses: the client reads which one and what to change', async (t) => {
  const proxy = await CountingProxy.start(t, 'http', { credentials: 'me:right' })
  const url = `http://joe:hunter2@127.0.0.1:${proxy.port}`
  const { status, text, everything } = await failureThrough(t, url)
  t.equal(status, 502)
  t.match(text, `The proxy of VPN_PROXY_URL rejects the configured user and password`)
  t.notMatch(everything, /joe|hunter2|am9l/)
})

t.test('a proxy that is not there', async (t) => {
  const server = createServer()
  const { port } = await serverUrl(server)
  await new Promise((resolve) => server.close(resolve))
  const { status, text } = await failureThrough(t, `socks5://127.0.0.1:${port}`)
  t.equal(status, 502)
  t.match(text, `The proxy of VPN_PROXY_URL refused the connection`)
})

t.test('the built-in simulator is never called through a proxy', async (t) => {
  const proxy = await CountingProxy.start(t, 'http')
  const gateway = await startGateway({ env: { VPN_PROXY_URL: proxy.url, WORKERS: '1' } })
  t.teardown(() => gateway.destroy())
  t.ok(isComplete(await startChat(gateway.url, 'hello').answer))
  t.same(proxy.sockets, [])
})
