import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { startChat } from '../helper/chat-client.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, isMessage, isReady, until } from '../helper/fleet-team.ts'
import type { GatewayProcess, LogLine } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes and minutes, on a machine that may be busy

const skip = whyNoEngine('valkey-server')
const NAMES = ['a', 'b', 'c'] as const


function ask({ url }: GatewayProcess, prompt = 'hi') {
  return startChat(url, prompt).answer
}

function isSuspended({ msg, code }: LogLine): boolean {
  return msg === 'credentials not renewed' && code === 'GW_UPSTREAM_SUSPENDED'
}

function toMs(time: unknown): number {
  return typeof time === 'number' ? time : Date.parse(String(time))
}

t.test('all gateways keep one pace', { skip }, async (t) => {
  const pace = 30
  const team = await FleetTeam.start(t, {
    names: NAMES,
    max: 60,
    env: { UPSTREAM_MAX_REQUESTS_PER_MINUTE: String(pace) },
    upstream: { gapMs: 1, rate: { requests: pace } }
  })
  await team.allServe()
  const sent = () => team.simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0
  const load = (name: string, requests: number) =>
    Array.from({ length: requests }, () => startChat(team.get(name).url, 'sim:events=1'))
  const limits = () => Promise.all(NAMES.map((name) => limitOf(team.get(name))))
  await until(async () => (await limits()).every((limit) => limit === 10))

  const tookMs = await until(() => sent() >= 0).then(() => {
    load('a', 150)
    return until(() => sent() >= pace - 2)
  })
  t.comment(`${sent()} of ${pace} sent by one of three after ${Math.round(tookMs)} ms`)
  t.ok((await limits())[0] === pace - 2, 'but for one that each of the others keeps')

  const b = team.get('b')
  const folder = `${b.folder}/.local/state/kiro-gateway`
  for (const pid of [b.child.pid ?? 0, ...b.workerPids()]) process.kill(pid, 'SIGKILL')
  const successor = await team.add('b', { STATE_DIR: folder }).ready()
  await until(() => isReady(successor))
  load('b', 40)
  load('c', 40)
  await until(() => sent() >= 2 * pace - 5)
  await delay(2_000)
  const { rate } = team.simulator.stats()
  t.comment(`most in a minute: ${rate?.most}, refused: ${rate?.refused}`)
  t.ok(Number(rate?.most) <= pace)
  t.equal(rate?.refused, 0)

  await team.engine.stop('SIGKILL')
  const evenMs = await until(async () => (await limits()).every((limit) => limit === 10))
  t.comment(`an even part for each ${Math.round(evenMs)} ms after the engine is gone`)
  await until(() => sent() >= 3 * pace - 10)
  t.equal(team.simulator.stats().rate?.refused, 0)
  t.ok(Number(team.simulator.stats().rate?.most) <= pace)
  await b.destroy()
})

async function limitOf(gateway: GatewayProcess): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text()
  const line = text
    .split('\n')
    .find((one) => one.startsWith('kiro_gateway_upstream_requests_per_minute_limit '))
  return Number(line?.split(' ')[1])
}
