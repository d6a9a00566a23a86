import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const KEY = 'the-key-of-this-test'

t.test('DRAIN_DELAY: says no before it takes nothing any more', async (t) => {
  const env = { PROXY_API_KEY: KEY, DRAIN_DELAY: '600', DRAIN_TIMEOUT: '5' }
  const gateway = await startGateway({ env })
  t.teardown(() => gateway.destroy())
  const withKey = { headers: { authorization: `Bearer ${KEY}` } }
  const readyz = () => fetch(`${gateway.url}/readyz`, withKey)
  t.equal((await readyz()).status, 200)
  gateway.child.kill('SIGTERM')
  let answer = await readyz()
  while (answer.status === 200) {
    await answer.text()
    await delay(20)
    answer = await readyz()
  }
  t.equal(answer.status, 503)
  t.match(await answer.json(), {
    problems: ['The gateway is shutting down.'],
    codes: ['shutting-down']
  })
  t.equal((await fetch(`${gateway.url}/health`)).status, 200, 'it lives')
  const serve = async () => {
    const served = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'hello' }] })
    })
    await served.text()
    t.equal(served.status, 200, 'requests are served')
    return served.headers.get('connection')
  }
  while ((await serve()) !== 'close') await delay(20) // each is the last on its connection, once its worker knows
  t.equal(await gateway.endNow(), 1, 'a second signal ends it at once')
})

t.test('and drains when the time is over', async (t) => {
  const gateway = await startGateway({ env: { PROXY_API_KEY: KEY, DRAIN_DELAY: '0.3' } })
  t.teardown(() => gateway.destroy())
  const startedAt = performance.now()
  gateway.child.kill('SIGTERM')
  t.equal(await gateway.exited, 0)
  t.ok(performance.now() - startedAt >= 300)
})
