import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { runKiroGateway } from '../helper/cli-process.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FLEET_TEST_SECRET, FleetTeam, isReady, until } from '../helper/fleet-team.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy
t.jobs = 2 // most of them wait, each with gateways of its own

const skip = whyNoEngine()
const MAX = 20
/** The lane that streams never get, of one that has everything. */
const LANE = 3
const ENDLESS = 'sim:events=4000 sim:gap=50'

t.test('a primary that stands still: its worker lets go by itself', { skip }, async (t) => {
  const team = await FleetTeam.start(t, { names: ['a', 'b'], max: MAX })
  await team.allServe()
  const [a, b] = [team.get('a'), team.get('b')]
  t.teardown(() => a.child.kill('SIGCONT'))
  const streams = Array.from({ length: 6 }, () => startChat(a.url, ENDLESS))
  await Promise.all(streams.map(({ firstBytes }) => firstBytes))
  const began = performance.now()
  a.child.kill('SIGSTOP')
  const answers = await Promise.all(streams.map(({ answer }) => answer))
  const cutMs = performance.now() - began
  t.comment(`cut ${Math.round(cutMs)} ms after its primary stood still`)
  t.ok(cutMs > 9_000, 'not before its lease is over')
  for (const { text } of answers) t.match(text, /other gateways may use its connections/)
  const calls = Array.from({ length: MAX + 5 }, () => startChat(b.url, ENDLESS))
  await until(() => team.simulator.stats().inFlight >= MAX - LANE)
  t.comment(`the other has all of it after ${Math.round(performance.now() - began)} ms`)
  t.ok(performance.now() - began > 12_000, 'not before the first has lost it for certain')
  a.child.kill('SIGCONT')
  await until(() => isReady(a))
  for (const { request } of calls) request.destroy()
  t.ok(isComplete(await startChat(a.url, 'hi').answer), 'and serves again as a new member')
  t.ok(team.census <= MAX, `${team.census} connections`)
})

t.test('FLEET_LEASE=none', { skip }, async (t) => {
  const env = { FLEET_LEASE: 'none' }
  const team = await FleetTeam.start(t, { names: ['a', 'b'], max: MAX, env })
  await team.allServe()
  const [a, b] = [team.get('a'), team.get('b')]
  const stream = startChat(a.url, ENDLESS)
  await stream.firstBytes
  team.engine.pause()
  await delay(14_000) // longer than the lease of the test above
  t.ok(await isReady(a), 'without its Valkey it serves for ever')
  t.ok(isComplete(await startChat(a.url, 'hi').answer))
  team.engine.goOn()

  for (const pid of [b.child.pid ?? 0, ...b.workerPids()]) process.kill(pid, 'SIGKILL')
  await b.exited
  const { simulator } = team
  const calls = Array.from({ length: MAX + 5 }, () => startChat(a.url, ENDLESS))
  await delay(15_000)
  const most = simulator.stats().inFlight
  t.ok(most < MAX - LANE, `what the other had does not come back by silence: ${most} of ${MAX}`)
  const forgotten = await runKiroGateway(['fleet', 'forget', 'b', '--yes'], {
    cwd: a.folder,
    env: {
      FLEET_URL: team.engine.url,
      FLEET_REPLICAS: '2',
      FLEET_SECRET: FLEET_TEST_SECRET
    }
  })
  t.equal(forgotten.code, 0, forgotten.stderr)
  await until(() => simulator.stats().inFlight >= MAX - LANE)
  t.ok(team.census <= MAX, `${team.census} connections`)
  for (const { request } of [stream, ...calls]) request.destroy()
})
