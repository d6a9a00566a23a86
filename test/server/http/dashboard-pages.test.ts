import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { FromWorker } from '../../../src/ipc/messages.ts'
import {
  DashboardPages,
  type DashboardPagesOptions
} from '../../../src/server/http/dashboard-pages.ts'
import { GatewayError } from '../../../src/shared/errors.ts'

t.setTimeout(120_000)

/** Pages of a worker behind a real server; the primary lets everybody in unless told otherwise. */
async function setUp(t: Test, options: Partial<DashboardPagesOptions> = {}) {
  const sent: FromWorker[] = []
  const silence = new AbortController()
  const state = { isAllowed: true, isAnswering: true }
  const problems: unknown[] = []
  const channel = {
    send(message: FromWorker): void {
      sent.push(message)
      if (message.type !== 'dashboard.wish') return
      const { wish } = message
      if (wish.name !== 'open' || !state.isAnswering) return
      const { requestId, pages: count } = wish
      const events = 'event: snapshot\ndata: {}\n\n'
      setImmediate(() => {
        pages.onNews({ name: 'opened', requestId, pages: count, events })
      })
    }
  }
  const pages = new DashboardPages({
    channel,
    pulse: { silence: silence.signal },
    metrics: { shown: () => Promise.resolve([]) },
    turns: { shown: () => [] },
    isLeaving: () => false,
    ...options
  })
  const server = createServer((_request, response) => {
    pages
      .open(response, () => state.isAllowed)
      .catch((cause: unknown) => {
        problems.push(cause)
        response.destroy()
      })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const open = async (): Promise<IncomingMessage> => {
    const call = request({ port, host: '127.0.0.1', agent: false })
    call.on('error', () => {}).end()
    t.teardown(() => call.destroy())
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    return response.on('error', () => {})
  }
  const left = (): number =>
    sent.filter((message) => message.type === 'dashboard.wish' && message.wish.name === 'left')
      .length
  const tellAll = (events: string): void => pages.onNews({ name: 'events', events })
  return { pages, tellAll, open, left, state, silence, problems, port }
}

const event = (bytes: number) => `event: tick\ndata: "${'x'.repeat(bytes)}"\n\n`

t.test('a page that does not read is given up before it holds much of our memory', async (t) => {
  const { pages, open, left, tellAll } = await setUp(t)
  const asleep = await open()
  asleep.pause()
  const awake = await open()
  awake.resume()
  let told = 0
  for (; left() === 0; told += 16_000) {
    tellAll(event(16_000))
    await delay(1)
  }
  t.equal(pages.size, 1)
  t.ok(awake.socket.readable, 'one that reads stays')
  t.ok(told < 32_000_000, `after ${told} bytes`)
})

t.test('a session that is over ends its page', async (t) => {
  const { pages, open, state } = await setUp(t, { checkMs: 20 })
  const page = await open()
  let text = ''
  page.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  state.isAllowed = false
  await once(page, 'end')
  t.match(text, /event: leaving\ndata: \{\}\n\n$/)
  t.equal(pages.size, 0)
})

t.test('while the primary hangs, pages are told so', async (t) => {
  const { open, state, silence, problems, pages } = await setUp(t)
  state.isAnswering = false
  const opened = open()
  opened.catch(() => {})
  await delay(50)
  silence.abort(new GatewayError('GW_PRIMARY_SILENT'))
  while (problems.length === 0) await delay(5)
  t.match(problems, [{ code: 'GW_PRIMARY_SILENT' }])
  t.equal(pages.size, 0)
})
