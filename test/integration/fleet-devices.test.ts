import { once } from 'node:events'
import t from 'tap'
import { DeviceClient, statusWith, tokensOf } from '../helper/device-client.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, until } from '../helper/fleet-team.ts'
import { PanelClient } from '../helper/panel-client.ts'

/* The sign-in of devices at a fleet of two gateways with a real Valkey: any of them serves each step. */

t.setTimeout(600_000)

const skip = whyNoEngine()
const OPERATOR = 'key-of-the-operator'

t.test('a device signs in at whichever gateway it reaches', { skip }, async (t) => {
  const team = await FleetTeam.start(t, {
    names: ['a', 'b'],
    max: 12,
    engineConfig: ['appendonly yes', 'appendfsync always'],
    env: { PROXY_API_KEY: OPERATOR }
  })
  await team.allServe()
  const at = (name: string) => {
    const { url } = team.get(name)
    return { url, device: new DeviceClient(url), panel: PanelClient.withKey(url, OPERATOR) }
  }
  const [a, b] = [at('a'), at('b')]

  const { json: asked } = await a.device.ask()
  const approved = await b.panel.post('/admin/v1/devices/approve', {
    code: asked.user_code,
    new: { name: 'anna', credits: '100/month' }
  })
  t.equal(approved.status, 200, approved.text)
  let first = await a.device.poll(asked.device_code)
  const deadline = performance.now() + 30_000
  while (first.json.error === 'authorization_pending' && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 5_100)) // its interval
    first = await a.device.poll(asked.device_code)
  }
  const tokens = tokensOf(first)
  await until(async () => (await statusWith(b.url, tokens.access)) === 200)
  t.equal(await statusWith(a.url, tokens.access), 200)

  const renewed = tokensOf(await b.device.refresh(tokens.refresh))
  t.equal(await statusWith(a.url, renewed.access), 200)
  const reused = await a.device.refresh(tokens.refresh)
  t.match(reused, { status: 401, json: { error: 'invalid_grant' } }, 'used at the other gateway')
  t.equal(await statusWith(a.url, renewed.access), 401)
  await until(async () => (await statusWith(b.url, renewed.access)) === 401)
  t.equal((await b.device.refresh(renewed.refresh)).status, 401)

  const { headers } = await PanelClient.signedIn(a.url, OPERATOR)
  const stateAt = ({ url }: { url: string }) =>
    new PanelClient(url, { cookie: headers['cookie'] ?? '' }).get('/admin/v1/devices')
  t.equal((await stateAt(b)).status, 200, 'who has signed in at one has so at all')
  const out = await new PanelClient(a.url, headers).delete('/dashboard/session')
  t.equal(out.status, 204, out.text)
  t.equal((await stateAt(a)).status, 401)
  await until(async () => (await stateAt(b)).status === 401)

  const second = await b.device.signIn(b.panel, { key: 'anna' })
  const waiting = await b.device.ask()
  const dead = team.get('a')
  dead.child.kill('SIGKILL')
  await once(dead.child, 'exit')
  const c = team.add('c')
  await c.ready()
  team.gateways.delete('a')
  await team.allServe()
  const third = at('c')
  await until(async () => (await statusWith(third.url, second.access)) === 200)
  const later = tokensOf(await third.device.refresh(second.refresh))
  t.equal(
    (await third.panel.post('/admin/v1/devices/deny', { code: waiting.json.user_code })).status,
    200,
    'a gateway that has just started knows what waits'
  )
  t.match(await b.device.poll(waiting.json.device_code), { json: { error: 'access_denied' } })

  const { json: approvedLast } = await b.device.ask()
  const { status: isApproved } = await b.panel.post('/admin/v1/devices/approve', {
    code: approvedLast.user_code,
    key: 'anna'
  })
  t.equal(isApproved, 200)
  await team.engine.stop()
  t.equal(await statusWith(b.url, later.access), 200, 'without Valkey it goes on')
  const refused = await b.device.refresh(later.refresh)
  t.match(refused, { status: 503, json: { error: 'temporarily_unavailable' } })
  t.match(
    await b.device.poll(approvedLast.device_code),
    { status: 400, json: { error: 'slow_down', error_description: /Valkey does not answer/ } },
    'the code is not lost'
  )
  await team.engine.start()
  await until(async () => (await b.device.ask()).status === 200)
  tokensOf(await b.device.poll(approvedLast.device_code))
  const last = tokensOf(await b.device.refresh(later.refresh))

  const { json } = await b.panel.get('/admin/v1/keys')
  const anna = json.keys.find(({ name }: { name: string }) => name === 'anna')
  await b.panel.post(`/admin/v1/keys/${anna.id}/revoke`, {})
  t.equal(await statusWith(b.url, last.access), 401)
  await until(async () => (await statusWith(third.url, last.access)) === 401)
  t.equal((await third.device.refresh(last.refresh)).status, 401)
})
