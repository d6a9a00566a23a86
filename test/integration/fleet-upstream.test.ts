import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { allHeard } from '../helper/all-heard.ts'
import { startChat } from '../helper/chat-client.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, isMessage, isReady, until } from '../helper/fleet-team.ts'
import type { GatewayProcess, LogLine } from '../helper/gateway-process.ts'
import { Starvation } from '../soak/starvation.ts'

t.setTimeout(600_000) // real processes and minutes, on a machine that may be busy

const skip = whyNoEngine()
const NAMES = ['a', 'b', 'c'] as const

t.test('what one gateway hears of the account, all know', { skip }, async (t) => {
  const team = await FleetTeam.start(t, { names: NAMES, max: 30 })
  await team.allServe()
  const gateways = NAMES.map((name) => team.get(name))
  const [a, b, c] = gateways as [GatewayProcess, GatewayProcess, GatewayProcess]
  const asked = (operation: string) => team.simulator.stats().requests.byOperation[operation] ?? 0
  const ofAll = () => Promise.all(gateways.map(({ url }) => fetch(`${url}/v1/usage`)))

  t.test('what it has used is asked once', async (t) => {
    const began = performance.now()
    const answers = [...(await ofAll()), ...(await ofAll())]
    const tookMs = performance.now() - began
    const texts = await Promise.all(answers.map((one) => one.text()))
    t.same(
      answers.map(({ status }) => status),
      [200, 200, 200, 200, 200, 200]
    )
    t.match(texts[0], /limit/)
    // An answer is given again for 15 s.
    const times = asked('getUsageLimits')
    t.ok(times >= 1 && times <= 1 + Math.floor(tookMs / 15_000), `${times} in ${tookMs} ms`)
    if (times === 1) t.same(new Set(texts).size, 1)
  })

  t.test('a suspension stops all within a second, and all go on when it is over', async (t) => {
    const from = gateways.map(({ lines }) => lines.length)
    const starvation = new Starvation(gateways.map(({ child }) => child.pid ?? 0))
    t.teardown(() => starvation.close())
    t.match(await ask(a, 'sim:suspended'), { status: 403, text: /suspended/ })
    const told = await Promise.all(gateways.map((one, at) => one.logged(isSuspended, from[at])))
    const times = told.map(({ time }) => toMs(time))
    t.comment(`told after ${times.map((time) => time - Number(times[0])).join(', ')} ms`)
    t.ok(Math.max(...times) - Number(times[0]) - starvation.totalMs() < 1_000)
    await Promise.all(gateways.map((one) => allHeard(one)))
    const before = asked('generateAssistantResponse')
    for (const one of gateways) t.match(await ask(one), { status: 403, text: /suspended/ })
    t.equal(asked('generateAssistantResponse'), before, 'the upstream is not asked')
    await c.reload({})
    await team.allServe()
    for (const one of gateways) await until(async () => (await ask(one)).status === 200)
  })

  t.test('one that starts asks once, and tells the others that it is over', async (t) => {
    t.match(await ask(b, 'sim:suspended'), { status: 403 })
    await until(async () => !(await isReady(a)) && !(await isReady(c)))
    const folder = `${b.folder}/.local/state/kiro-gateway`
    for (const pid of [b.child.pid ?? 0, ...b.workerPids()]) process.kill(pid, 'SIGKILL')
    const successor = await team.add('b', { STATE_DIR: folder }).ready()
    await until(() => isReady(successor))
    t.match(await ask(successor), { status: 200 })
    await team.allServe()
    t.match(await ask(a), { status: 200 })
  })

  t.test('a quota that is used up stops all, until the operator says otherwise', async (t) => {
    t.match(await ask(a, 'sim:quota'), { status: 429, text: /insufficient_quota/ })
    await until(async () => !(await isReady(team.get('b'))) && !(await isReady(c)))
    await Promise.all(NAMES.map((name) => allHeard(team.get(name))))
    const before = asked('generateAssistantResponse')
    for (const name of NAMES) {
      t.match(await ask(team.get(name)), {
        status: 429,
        text: /asks the upstream again after 20\d\d-.*insufficient_quota/
      })
    }
    t.equal(asked('generateAssistantResponse'), before)
    await c.reload({})
    await team.allServe()
    t.match(await ask(a), { status: 200 })
  })

  t.test('a pause that it asks for holds for all', async (t) => {
    const others = [team.get('b'), c]
    let waitedMs = 0
    // Others that a busy machine keeps from hearing of it, or lets ask when it is over, spoil a try.
    for (let tries = 0; tries < 10 && waitedMs < 1_500; tries++) {
      const from = a.lines.length
      const refused = ask(a, 'sim:user-rate')
      await a.logged(isMessage('upstream asked for a pause'), from)
      await delay(300)
      const waits = others.map(async (one) => {
        const began = performance.now()
        t.equal((await ask(one)).status, 200)
        return performance.now() - began
      })
      waitedMs = Math.min(...(await Promise.all(waits)))
      t.equal((await refused).status, 429)
    }
    t.ok(waitedMs > 1_500, `${Math.round(waitedMs)} of 3000 ms`)
  })
})

function ask({ url }: GatewayProcess, prompt = 'hi') {
  return startChat(url, prompt).answer
}

function isSuspended({ msg, code }: LogLine): boolean {
  return msg === 'credentials not renewed' && code === 'GW_UPSTREAM_SUSPENDED'
}

function toMs(time: unknown): number {
  return typeof time === 'number' ? time : Date.parse(String(time))
}

t.test('all gateways keep one pace, an even part each', { skip }, async (t) => {
  const pace = 30
  const team = await FleetTeam.start(t, {
    names: NAMES,
    max: 60,
    env: { UPSTREAM_MAX_REQUESTS_PER_MINUTE: String(pace) },
    upstream: { gapMs: 1, rate: { requests: pace } }
  })
  await team.allServe()
  const sent = () => team.simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0
  const limits = () => Promise.all(NAMES.map((name) => limitOf(team.get(name))))
  await until(async () => (await limits()).every((limit) => limit === pace / 3))

  for (const name of NAMES) {
    for (let requests = 0; requests < pace; requests++)
      startChat(team.get(name).url, 'sim:events=1')
  }
  await until(() => sent() >= pace)
  t.equal(team.simulator.stats().rate?.refused, 0)

  await team.engine.stop('SIGKILL')
  await team.get('a').logged(isMessage("no connection to the fleet's Valkey"))
  t.equal(await limitOf(team.get('a')), pace / 3, 'without Valkey, too')
})

async function limitOf(gateway: GatewayProcess): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text()
  const line = text
    .split('\n')
    .find((one) => one.startsWith('kiro_gateway_upstream_requests_per_minute_limit '))
  return Number(line?.split(' ')[1])
}
