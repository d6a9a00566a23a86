import { join } from 'node:path'
import t from 'tap'
import { runKiroGateway } from '../helper/cli-process.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { PanelClient } from '../helper/panel-client.ts'

/* `kiro-gateway key` beside a running gateway has that gateway make the change; else it writes the files. */

t.setTimeout(600_000) // processes, on a machine that may be very busy

const OPERATOR = 'operator-key-of-the-panel'

t.test('a change beside a running gateway is in force, and in its audit log', async (t) => {
  const gateway = await startGateway({
    env: { PROXY_API_KEY: OPERATOR, WORKERS: '2', STATE_DIR: 'state' }
  })
  t.teardown(() => gateway.destroy())
  const settings = {
    PROXY_API_KEY: OPERATOR,
    SERVER_PORT: new URL(gateway.url).port,
    STATE_DIR: 'state'
  }
  const runWith = (env: Readonly<Record<string, string>>, ...args: readonly string[]) =>
    runKiroGateway(['key', ...args], { cwd: gateway.folder, env })
  const run = (...args: readonly string[]) => runWith(settings, ...args)
  const statusOf = async (key: string) =>
    (await PanelClient.withKey(gateway.url, key.trim()).get('/v1/models')).status

  const added = await run('add', 'Anna', '--credits', '200/month', '--models', 'auto,claude-*')
  t.match(added, { code: 0, stdout: /^kgw_[\w-]{43}\n$/ }, added.stderr)
  t.equal(await statusOf(added.stdout), 200)
  t.match(await run('add', 'anna'), { code: 2, stderr: /"key set" changes its limits/ })

  const model = { model: 'auto', messages: [{ role: 'user', content: 'hi' }] }
  const asked = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${added.stdout.trim()}` },
    body: JSON.stringify(model)
  })
  t.equal(asked.status, 200, await asked.text())
  const listed = await run('list', '--json')
  const [anna] = JSON.parse(listed.stdout).keys
  t.ok(anna.used > 0 && anna.left < 200 && Date.parse(anna.lastSeen) > 0, listed.stdout)
  t.match(
    (await run('list')).stdout,
    /^Anna +in force +0\.\d{3} +199\.\d{3} +200\/month +0 min ago/m
  )
  t.match(
    (await run('show', 'anna')).stdout,
    /^used +0\.\d{3}\nleft +199\.\d{3}\nlast seen +0 min ago$/m
  )

  const set = await run(
    'set',
    'anna',
    '--credits',
    'none',
    '--expires',
    '90d',
    '--overage',
    '--json'
  )
  t.match(JSON.parse(set.stdout), {
    name: 'Anna',
    credits: null,
    overage: true,
    models: ['auto', 'claude-*']
  })

  const rotated = await run('rotate', 'anna')
  t.equal(await statusOf(rotated.stdout), 200)
  t.equal(await statusOf(added.stdout), 401, 'the old one is good for nothing')
  t.match(await run('revoke', 'anna'), {
    code: 0,
    stdout: /^Anna can no longer get in: .* The gateway refuses it from now on\./
  })
  t.equal(await statusOf(rotated.stdout), 401)
  t.match(await run('revoke', 'anna'), { code: 2, stderr: /already revoked/ })

  const operator = PanelClient.withKey(gateway.url, OPERATOR)
  const actions = async () =>
    (await operator.get('/admin/v1/audit')).json.entries.map(
      ({ action }: { action: string }) => action
    )
  const ours = ['key.revoke', 'key.rotate', 'key.change', 'key.add']
  t.same(await actions(), ours)

  const elsewhere = { ...settings, STATE_DIR: join(gateway.folder, 'other') }
  t.match(await runWith(elsewhere, 'add', 'ben'), { code: 0, stdout: /^kgw_/ }, 'another folder')
  const stranger = { ...settings, PROXY_API_KEY: 'a-key-of-another-gateway' }
  t.match(await runWith(stranger, 'add', 'chloe'), { code: 0, stdout: /^kgw_/ }, 'another key')
  t.same(await actions(), ours, 'these are changes of files')

  await gateway.reload({ DASHBOARD: 'read-only' })
  t.match(
    await run('add', 'dana'),
    { code: 0, stdout: /^kgw_/ },
    'the panel changes nothing, the command does'
  )
  gateway.child.kill('SIGTERM')
  await gateway.exited
  t.match(await run('add', 'erik'), { code: 0, stdout: /^kgw_/ }, 'without a gateway')
  const { stdout } = await run('list', '--json')
  const names = JSON.parse(stdout).keys.map(({ name }: { name: string }) => name)
  t.same(names.toSorted(), ['Anna', 'chloe', 'dana', 'erik'])
})
