import t from 'tap'
import { startChat } from '../helper/chat-client.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, isMessage, problemsOf, until } from '../helper/fleet-team.ts'
import { skipByDay } from '../helper/nightly.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const skip = whyNoEngine()
/** Of 60: what the other two keep, and the lane that streams never get. */
const KEPT = 2 + 3
/** Long enough to hold a connection until the test has seen it. */
const LONG = 'sim:events=8000 sim:gap=50'
const isWhole = ({ text }: { readonly text: string }) => text.endsWith('[DONE]\n\n')

t.test('three gateways and one budget', { skip }, async (t) => {
  const max = 60
  const team = await FleetTeam.start(t, { names: ['a', 'b', 'c'], max })
  await team.allServe()
  const { simulator } = team
  const { url } = team.get('a')

  t.test('one that has all the load has all of it but what the others keep', async (t) => {
    const calls = Array.from({ length: 70 }, () => startChat(url, LONG))
    const tookMs = await until(() => simulator.stats().inFlight >= max - KEPT)
    t.comment(`${simulator.stats().inFlight} of ${max} after ${Math.round(tookMs)} ms`)
    t.ok(simulator.stats().inFlight >= (max - KEPT) * 0.98)
    t.ok(team.census <= max, `${team.census} connections`)
    for (const { request } of calls) request.destroy()
    await until(() => simulator.stats().inFlight === 0)
  })

  t.test('the others get theirs back when they want it', async (t) => {
    const long = Array.from({ length: 58 }, () => startChat(url, LONG))
    const first = Array.from({ length: 12 }, () => startChat(url, 'sim:events=20 sim:gap=50'))
    await until(() => simulator.stats().inFlight >= max - KEPT)
    const others = ['b', 'c'].flatMap((name) =>
      Array.from({ length: 10 }, () => startChat(team.get(name).url, 'sim:events=2'))
    )
    for (const { request } of long.slice(0, 40)) request.destroy()
    const answers = await Promise.all([...first, ...others].map(({ answer }) => answer))
    t.equal(answers.filter(isWhole).length, answers.length)
    t.ok(team.census <= max, `${team.census} connections`)
    for (const { request } of long) request.destroy()
    await until(() => simulator.stats().inFlight === 0)
  })

  t.test('Valkey is away for a while: nobody notices', { skip: skipByDay }, async (t) => {
    await team.engine.stop('SIGKILL')
    const calls = ['a', 'b', 'c'].flatMap((name) =>
      Array.from({ length: 10 }, () => startChat(team.get(name).url, 'sim:events=5'))
    )
    const answers = await Promise.all(calls.map(({ answer }) => answer))
    t.equal(answers.filter(isWhole).length, 30)
    await team.engine.start()
    await team.allServe()
    // It has forgotten everything: what the members claim is all there is until all have.
    const calls2 = Array.from({ length: 70 }, () => startChat(url, LONG))
    await until(() => simulator.stats().inFlight >= max - KEPT)
    t.ok(team.census <= max, `${team.census} connections`)
    for (const { request } of calls2) request.destroy()
    await until(() => simulator.stats().inFlight === 0)
  })

  t.test('one is killed: what it had is back with its successor', async (t) => {
    const victim = team.get('b')
    const calls = Array.from({ length: 15 }, () => startChat(victim.url, LONG))
    await until(() => simulator.stats().inFlight >= 15)
    const pids = [victim.child.pid ?? 0, ...victim.workerPids()]
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    const began = performance.now()
    await Promise.all(calls.map(({ answer }) => answer))
    const successor = team.add('b', { STATE_DIR: `${victim.folder}/.local/state/kiro-gateway` })
    await successor.ready()
    await team.allServe()
    const load = Array.from({ length: 70 }, () => startChat(successor.url, LONG))
    await until(() => simulator.stats().inFlight >= max - KEPT)
    t.comment(`${Math.round(performance.now() - began)} ms from the kill to all of the budget`)
    t.ok(team.census <= max, `${team.census} connections`)
    for (const { request } of load) request.destroy()
    await until(() => simulator.stats().inFlight === 0)
    await victim.destroy()
  })

  t.test('one leaves: the others have what it had', { skip: skipByDay }, async (t) => {
    t.equal(await team.get('c').stop(), 0)
    team.gateways.delete('c')
    const load = Array.from({ length: 70 }, () => startChat(url, LONG))
    await until(() => simulator.stats().inFlight >= max - 4)
    t.ok(team.census <= max, `${team.census} connections`)
    for (const { request } of load) request.destroy()
  })
})

t.test('without its Valkey for too long', { skip }, async (t) => {
  const team = await FleetTeam.start(t, { names: ['a'], max: 10 })
  await team.allServe()
  const gateway = team.get('a')
  const stream = startChat(gateway.url, 'sim:events=2000 sim:gap=50')
  await stream.firstBytes
  const before = gateway.lines.length
  team.engine.pause()
  await gateway.logged(isMessage('not serving in the fleet'), before)
  await until(async () => (await problemsOf(gateway)).includes('lost contact with its fleet'))
  const refused = await startChat(gateway.url, 'hi').answer
  t.match(refused, { status: 503, text: /lost contact with its fleet/ })
  const cut = await stream.answer
  t.notOk(isWhole(cut), 'a stream that is cut does not look whole')
  t.match(cut.text, /other gateways may use its connections/)
  await until(() => team.simulator.stats().connections.open === 0)
  team.engine.goOn()
  await team.allServe()
  t.ok(isWhole(await startChat(gateway.url, 'hi').answer), 'and serves again when it is back')
})

t.test('two of one name, or with another secret', { skip }, async (t) => {
  const team = await FleetTeam.start(t, { names: ['a'], max: 10 })
  await team.allServe()
  const foreign = team.add('x', { FLEET_SECRET: 'another-secret-than-the-others-have' })
  t.equal(await foreign.exited, 78)
  t.match(foreign.stderr, /a different FLEET_SECRET/)
  const twin = team.add('a')
  t.equal(await twin.exited, 78)
  t.match(twin.stderr, /same FLEET_MEMBER/)
})
