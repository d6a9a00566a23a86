import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { Browser, findChromium, NO_CHROMIUM } from '../helper/chromium.ts'
import { until } from '../helper/fleet-team.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { PanelClient } from '../helper/panel-client.ts'

/*
 * What pages of other sites try in a real browser in which an operator has signed in: another port of the same host, to which
 * the browser sends the cookie, and another host.
 */

t.setTimeout(600_000) // browsers and processes, on a machine that may be very busy
t.jobs = 1

const OPERATOR = 'operator-key-of-the-panel'
const executable = findChromium()

/** An empty page at another port; resolves with that. */
async function foreignSite(t: Test): Promise<number> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<title>Foreign</title>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** Tries everything that a page can, and tells what it got to see. Runs in the browser, so as text. */
const ATTACK = `async (gateway) => {
  const seen = []
  const body = JSON.stringify({ name: 'mallory' })
  const json = { 'content-type': 'application/json' }
  const ask = async (about, path, init) => {
    try {
      const answer = await fetch(gateway + path, { credentials: 'include', ...init })
      if (answer.type !== 'opaque') seen.push(about + ' ' + answer.status)
    } catch {}
  }
  const keys = '/admin/v1/keys'
  const chat = JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'spend' }] })
  await ask('plain post', keys, { method: 'POST', mode: 'no-cors', body })
  await ask('json post', keys, { method: 'POST', headers: json, body })
  await ask('token', keys, { method: 'POST', headers: { ...json, 'x-csrf-token': 'A' }, body })
  await ask('prompt', '/v1/chat/completions', { method: 'POST', mode: 'no-cors', body: chat })
  await ask('sign-out', '/dashboard/session', { method: 'DELETE' })
  await ask('sign-in', '/dashboard/session', { method: 'POST', mode: 'no-cors', body: '{"key":"x"}' })
  await ask('read', keys, {})
  await ask('session', '/dashboard/session', {})
  await ask('hidden read', keys, { mode: 'no-cors' })
  navigator.sendBeacon(gateway + keys, new Blob([body], { type: 'text/plain' }))
  const loaded = (element) => new Promise((resolve) => {
    element.onload = () => resolve(true)
    element.onerror = () => resolve(false)
    document.body.append(element)
  })
  for (const path of ['/admin/v1/state', '/dashboard/session', '/dashboard/main.js']) {
    const script = document.createElement('script')
    script.src = gateway + path
    if (await loaded(script)) seen.push('script ' + path)
  }
  const feed = new EventSource(gateway + '/dashboard/events', { withCredentials: true })
  seen.push(...await new Promise((resolve) => {
    feed.onopen = () => resolve(['feed'])
    feed.onerror = () => resolve([])
  }))
  feed.close()
  const frames = ['page', 'target'].map((name) => Object.assign(document.createElement('iframe'), { name }))
  const [frame, target] = frames
  frame.src = gateway + '/'
  await loaded(frame)
  await loaded(target)
  const form = document.createElement('form')
  Object.assign(form, { method: 'post', action: gateway + keys, enctype: 'text/plain', target: 'target' })
  const field = document.createElement('input')
  Object.assign(field, { name: '{"name":"mallory","x":"', value: '"}' })
  form.append(field)
  document.body.append(form)
  const sent = loaded(target)
  form.submit()
  await sent
  return seen
}`

/** What a page of ours may under a name of somebody else. */
const REBOUND = `async () => {
  const json = { 'content-type': 'application/json' }
  const body = JSON.stringify({ name: 'mallory', model: 'auto', messages: [] })
  const answers = await Promise.all([
    fetch('/admin/v1/keys'),
    fetch('/admin/v1/keys', { method: 'POST', headers: json, body }),
    fetch('/v1/chat/completions', { method: 'POST', headers: json, body }),
    fetch('/dashboard/events')
  ])
  return answers.map(({ status }) => status)
}`

for (const [about, key] of [
  ['with keys', OPERATOR],
  ['without keys', null]
] as const) {
  t.test(`a gateway ${about}`, { skip: executable === null ? NO_CHROMIUM : false }, async (t) => {
    if (executable === null) return
    const keys = key === null ? {} : { PROXY_API_KEY: key }
    const gateway = await startGateway({ env: { WORKERS: '1', ...keys } })
    t.teardown(() => gateway.destroy())
    const port = await foreignSite(t)
    const browser = await Browser.start({ executable, knowsExamples: true })
    t.teardown(() => browser.close())
    const { page } = browser
    await page.goto(gateway.url)
    if (key !== null) {
      await page.getByLabel('Key').fill(key)
      await page.getByRole('button', { name: 'Sign in' }).click()
    }
    await page.getByRole('navigation').waitFor()
    const program =
      key === null ? new PanelClient(gateway.url) : PanelClient.withKey(gateway.url, key)
    const known = new Set<string>()
    for (const host of ['127.0.0.1', 'localhost', 'evil.example']) {
      await t.test(`a page of ${host}:${port}`, async (t) => {
        const foreign = await browser.open()
        await foreign.goto(`http://${host}:${port}/`)
        const seen: unknown = await foreign.evaluate(`(${ATTACK})(${JSON.stringify(gateway.url)})`)
        t.same(seen, [], 'it sees nothing')
        const framed = foreign.frames().filter((frame) => frame !== foreign.mainFrame())
        t.equal(framed.length, 2)
        await until(() => framed.every((frame) => frame.url().startsWith('chrome-error:')))
        t.pass('it can frame neither the page nor what the gateway answers')
        await foreign.goto(`${gateway.url}/admin/v1/keys`).catch(() => {})
        await foreign.close()
        t.same((await program.get('/admin/v1/keys')).json.keys, [], 'no key')
        t.same((await program.get('/admin/v1/audit')).json.entries, [], 'nothing was done')
        const spent = (await program.get('/admin/v1/requests')).json.requests
        // Without keys, other pages of this machine may send prompts, and cannot read the answers.
        if (key !== null || host === 'evil.example')
          t.same(
            spent.filter(({ id }: { id: string }) => !known.has(id)),
            [],
            'nothing was spent'
          )
        for (const { id } of spent) known.add(id)
      })
    }
    const rebound = await browser.open()
    await rebound.goto(`http://rebound.example:${new URL(gateway.url).port}/`)
    const statuses: unknown = await rebound.evaluate(`(${REBOUND})()`)
    t.same(statuses, [401, 401, 401, 401], 'a name of somebody else that leads here')
    await page.reload()
    await page.getByRole('navigation').waitFor()
    t.pass('the operator is still signed in')
  })
}
