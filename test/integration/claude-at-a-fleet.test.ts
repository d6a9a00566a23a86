import t, { type Test } from 'tap'
import { approve, CLIENTS, OPERATOR, signIn, whyNoClaude } from '../claude-gateway/claude-person.ts'
import { claudeProgram } from '../claude-gateway/claude-program.ts'
import { ObligingModel } from '../claude-gateway/obliging-model.ts'
import { Browser, findChromium } from '../helper/chromium.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, until } from '../helper/fleet-team.ts'
import { freePort } from '../helper/free-port.ts'
import type { GatewayProcess } from '../helper/gateway-process.ts'
import { isNightly } from '../helper/nightly.ts'
import { PanelClient } from '../helper/panel-client.ts'
import { stateFolder } from '../helper/state-folder.ts'
import { ProxyProcess, whyNoCaddy } from '../proxies/proxy-process.ts'

/** The real Claude Code at two gateways with a real Valkey, behind a real Caddy with TLS by its own CA. */

t.setTimeout(900_000) // a client of 400 MB, on a machine that may be busy

const skip = isNightly
  ? whyNoClaude() || whyNoEngine() || whyNoCaddy()
  : 'it is for npm run nightly'
const NAMES = ['a', 'b'] as const
type Name = (typeof NAMES)[number]

interface Fleet {
  readonly urls: Readonly<Record<Name, string>>
  readonly panels: Readonly<Record<Name, PanelClient>>
  readonly gateway: (name: Name) => GatewayProcess
  /** Ends both and starts them again, at their addresses. */
  readonly restart: () => Promise<void>
}

async function startFleet(t: Test, upstream: string): Promise<Fleet> {
  const ports = { a: await freePort(), b: await freePort() }
  const folders = { a: stateFolder(t), b: stateFolder(t) }
  const team = await FleetTeam.start(t, {
    names: [],
    max: 12,
    engineConfig: ['appendonly yes', 'appendfsync always'],
    env: { PROXY_API_KEY: OPERATOR, FLEET_REPLICAS: '2', KIRO_API_URL: upstream }
  })
  const startAll = async (): Promise<void> => {
    const all = NAMES.map((name) =>
      team.add(name, { SERVER_PORT: String(ports[name]), STATE_DIR: folders[name] })
    )
    await Promise.all(all.map((one) => one.ready()))
    await team.allServe()
  }
  await startAll()
  const urls = { a: team.get('a').url, b: team.get('b').url }
  return {
    urls,
    panels: {
      a: PanelClient.withKey(urls.a, OPERATOR),
      b: PanelClient.withKey(urls.b, OPERATOR)
    },
    gateway: (name) => team.get(name),
    restart: async () => {
      await Promise.all(NAMES.map((name) => team.get(name).stop()))
      await startAll()
    }
  }
}

/** Makes a key at one gateway; resolves with its id when the other knows it. */
async function makeKey({ panels }: Fleet, name: string): Promise<string> {
  const made = await panels.a.post('/admin/v1/keys', { name, credits: '100/day' })
  if (made.status !== 201) throw new Error(made.text)
  await until(async () => (await panels.b.get('/admin/v1/keys')).text.includes(`"${name}"`))
  return made.json.key.id
}

/** Whether a gateway has answered a question of that key. */
function hasAnswered(gateway: GatewayProcess, key: string): boolean {
  return gateway.lines.some(
    (line) => line['msg'] === 'request completed' && line['key'] === key && line['status'] === 200
  )
}

t.test('Claude Code at two gateways, behind Caddy with TLS', { skip }, async (t) => {
  const program = await claudeProgram(CLIENTS)
  const model = await ObligingModel.start(t)
  const fleet = await startFleet(t, model.origin)
  const { urls, panels, gateway } = fleet
  const caddy = await ProxyProcess.startForFleet(Object.values(urls))
  t.teardown(() => caddy.close())
  const browser = await Browser.start({
    executable: findChromium() ?? '',
    ignoreHTTPSErrors: true
  })
  t.teardown(() => browser.close())
  const ids = { anna: await makeKey(fleet, 'anna'), ben: await makeKey(fleet, 'ben') }

  const anna = await signIn(t, {
    program,
    url: caddy.url,
    env: { NODE_EXTRA_CA_CERTS: caddy.authority },
    approve: (code) => approve(browser, { url: caddy.url, code, key: 'anna' })
  })
  const ben = await signIn(t, {
    program,
    url: urls.a,
    approve: (code) => approve(browser, { url: urls.b, code, key: 'ben' })
  })
  t.pass('one has signed in by Caddy, one at a gateway and was approved at the other')

  await t.test('is answered by both gateways', async (t) => {
    let asked = 0
    while (!NAMES.every((name) => hasAnswered(gateway(name), 'anna'))) {
      if (asked > 10) throw new Error('one of them has answered nothing')
      asked += 1
      await anna.say(`Question ${asked} of anna`)
      await anna.sees(new RegExp(`● answer ${asked}\\b`))
    }
    await ben.say('I am ben')
    await ben.sees(new RegExp(`● answer ${asked + 1}\\b`))
    t.ok(hasAnswered(gateway('a'), 'ben'), 'by the one that did not approve it')
  })

  await t.test('goes on after both were started again', async (t) => {
    await fleet.restart()
    const { answers } = model
    await anna.say('After the restart')
    await anna.sees(new RegExp(`● answer ${answers + 1}\\b`))
    await ben.say('After the restart')
    await ben.sees(new RegExp(`● answer ${answers + 2}\\b`))
    t.pass('both sign-ins have survived')
  })

  await t.test('is signed out everywhere when its key is revoked at one', async (t) => {
    const { answers } = model
    for (const [id, at] of [
      [ids.anna, panels.a],
      [ids.ben, panels.b]
    ] as const)
      t.equal((await at.post(`/admin/v1/keys/${id}/revoke`, {})).status, 200)
    await until(async () =>
      (await Promise.all(NAMES.map((name) => panels[name].get('/admin/v1/devices')))).every(
        ({ json }) => json.devices.length === 0
      )
    )
    for (const claude of [anna, ben]) {
      await claude.say('Am I still here?')
      await claude.sees(/\/login/)
    }
    t.equal(model.answers, answers)
  })
})
