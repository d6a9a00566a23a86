import { createHmac } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { AlertSender } from '../../../src/control/alerts/alert-control.ts'
import { SideLane } from '../../../src/upstream/call/side-lane.ts'
import { CRASH_LOOP } from '../../../src/control/alerts/alert.ts'
import { AlertReceiver, UNSENT } from '../../helper/alert-receiver.ts'
import { recordedLog } from '../../helper/recorded-log.ts'

/** A sender, and a receiver that answers each message by the next of `answers`, then with 204. */
async function rig(
  t: Test,
  answers: ((response: ServerResponse) => void)[] = [],
  secret: string | null = null
) {
  const receiver = await AlertReceiver.start(t, (response) => {
    const answer = answers.shift()
    if (answer === undefined) response.writeHead(204).end()
    else answer(response)
  })
  const loaded = loadConfig({ KIRO_API_KEY: 'ksk_x' }, [])
  if (loaded.name !== 'config') throw new Error('there is no config')
  const lane = new SideLane(loaded.config, 1)
  const { log, text } = recordedLog()
  const stateDir = t.testdir({})
  const settings = { webhookUrl: `${receiver.url}hook/of-mine`, webhookSecret: secret }
  const create = () =>
    new AlertSender({
      stateDir,
      settings: () => settings,
      call: lane.call,
      log,
      retryMs: [1, 1],
      now: () => Date.parse('2026-09-10T12:00:00Z')
    })
  const sender = create()
  const alive = setInterval(() => {}, 1_000) // the sender keeps no process
  const says = async (pattern: RegExp): Promise<void> => {
    while (!pattern.test(text())) await new Promise((resolve) => setTimeout(resolve, 2))
  }
  t.teardown(async () => {
    clearInterval(alive)
    await sender.close()
    await lane.close()
  })
  return { sender, create, received: receiver.received, says, text }
}

const other = { ...CRASH_LOOP, id: 'other', type: 'key-limit' as const, facts: { key: 'anna' } }

t.test('AlertSender', (t) => {
  t.test('tells each thing once, in their order', async (t) => {
    const { sender, received, says } = await rig(t)
    sender.raise(null)
    sender.raise(CRASH_LOOP)
    sender.raise(CRASH_LOOP)
    sender.raise(other)
    await says(/"key-limit".*alert sent/)
    t.same(
      received.map(({ json }) => json),
      [
        { text: CRASH_LOOP.text, type: 'crash-loop', at: '2026-09-10T12:00:00.000Z' },
        { text: CRASH_LOOP.text, type: 'key-limit', at: '2026-09-10T12:00:00.000Z', key: 'anna' }
      ]
    )
    t.match(received[0]?.headers, {
      'content-type': 'application/json',
      'user-agent': /^kiro-gateway\//
    })
    t.notOk(received[0]?.headers['x-kiro-gateway-signature'])
    sender.settle(CRASH_LOOP.id)
    sender.raise(CRASH_LOOP)
    while (received.length < 3) await new Promise((resolve) => setTimeout(resolve, 2))
  })

  t.test('signs what it sends', async (t) => {
    const { sender, received, says } = await rig(t, [], 'between-us')
    sender.raise(CRASH_LOOP)
    await says(/alert sent/)
    const [{ headers, body } = UNSENT] = received
    const mac = createHmac('sha256', 'between-us').update(body).digest('hex')
    t.equal(headers['x-kiro-gateway-signature'], `sha256=${mac}`)
  })

  t.test('tries three times, and the log never has the address', async (t) => {
    const { sender, received, says, text } = await rig(t, [
      (response) => response.writeHead(500).end(),
      (response) => response.destroy(),
      (response) => response.writeHead(429).end('later'),
      (response) => response.writeHead(503).end()
    ])
    sender.raise(CRASH_LOOP)
    await says(/"status 429".*alert cannot be sent/)
    t.equal(received.length, 3)
    sender.raise(other)
    await says(/"key-limit".*alert sent/)
    t.equal(received.length, 5)
    t.notMatch(text(), 'of-mine')
  })

  t.test('remembers after a restart what it has told', async (t) => {
    const { sender, create, received, says } = await rig(t)
    sender.raise(CRASH_LOOP)
    await says(/alert sent/)
    await sender.close()
    const next = create()
    await next.start()
    next.raise(CRASH_LOOP)
    next.raise(other)
    await says(/"key-limit".*alert sent/)
    t.equal(received.length, 2)
    await next.close()
  })

  t.test('does not hold up the end of the gateway', async (t) => {
    const { sender, create, received, says } = await rig(t, [() => {}])
    sender.raise(CRASH_LOOP)
    sender.raise(other)
    while (received.length === 0) await new Promise((resolve) => setTimeout(resolve, 2))
    await sender.close()
    const next = create()
    await next.start()
    next.raise(CRASH_LOOP)
    next.raise(other)
    await says(/"key-limit".*alert sent/)
    t.equal(received.length, 3, 'the next start tells what nobody has answered for')
    await next.close()
  })
  t.end()
})
