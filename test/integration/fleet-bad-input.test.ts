import { Redis } from 'ioredis'
import { writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { parseJsonObject } from '../../src/shared/json.ts'
import { startChat } from '../helper/chat-client.ts'
import { EngineProcess, TEST_ENGINE, whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, isMessage, isReady, problemsOf, until } from '../helper/fleet-team.ts'
import { GatewayProcess } from '../helper/gateway-process.ts'
import { isNightly, skipByDay } from '../helper/nightly.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

/* What operators, strangers and clocks do to a fleet: one sentence each, and exit code 78 where waiting would not help. */

t.setTimeout(600_000) // real processes, on a machine that may be very busy
t.jobs = 2 // most of them wait, each with gateways of its own

const skip = whyNoEngine()
const LEDGER = '{kiro:kiro}:ledger'
/** Of what strangers write into the register; `test/fleet/next-fleet.test.ts` reads all of it. */
const BY_DAY: ReadonlySet<string> = new Set([
  'a huge text',
  'more than there is',
  'a revision that is none'
])
/** Longer than any test: its client leaves. */
const LONG = 'sim:events=8000 sim:gap=50'
const isWhole = ({ text }: { readonly text: string }) => text.endsWith('[DONE]\n\n')

const isNews = ({ msg }: { readonly msg?: unknown }) =>
  String(msg).startsWith('the fleet has begun a new era')
const isWarning = ({ msg }: { readonly msg?: unknown }) =>
  String(msg).startsWith('gateways of the fleet have different settings')
const pod = (uid: string) => ({ FLEET_IDENTITY: 'statefulset', FLEET_POD_UID: uid })

/** A gateway of no team, whose sign-in is the simulator's. */
function start(t: Test, env: Readonly<Record<string, string>>): GatewayProcess {
  const gateway = new GatewayProcess({
    env: {
      WORKERS: '1',
      HTTP_MAX_CONNECTIONS: '10',
      FLEET_REPLICAS: '1',
      FLEET_MEMBER: 'a',
      FLEET_SECRET: 'secret-of-the-fleet-for-all-tests',
      FLEET_LEASE: '12',
      ...env
    }
  })
  t.teardown(() => gateway.destroy())
  return gateway
}

/** Somebody else in Valkey. */
function stranger(t: Test, { url }: { readonly url: string }): Redis {
  const client = new Redis(url, { maxRetriesPerRequest: 5 })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

async function startEngine(t: Test) {
  const engine = await EngineProcess.start(TEST_ENGINE)
  t.teardown(() => engine.destroy())
  return engine
}

/** It ends with code 78, and says why in one line. */
async function isRefused(t: Test, gateway: GatewayProcess, why: RegExp): Promise<void> {
  t.equal(await gateway.exited, 78)
  t.match(gateway.stderr, why)
  const lines = gateway.stderr
    .trim()
    .split('\n')
    .filter((line) => !line.includes('Warning'))
  t.equal(lines.length, 1, gateway.stderr)
  t.notMatch(
    gateway.stderr,
    /secret-of|wrong-word|NOPERM|WRONG/,
    'never what is secret, nor what Valkey said'
  )
}

t.test(
  'a Valkey that is not there yet is waited for; when it comes, it is looked at',
  { skip: skip || skipByDay },
  async (t) => {
    const engine = await startEngine(t)
    await engine.stop()
    const patient = start(t, { FLEET_URL: engine.url })
    await patient.ready()
    await until(async () =>
      (await problemsOf(patient)).includes("is waiting for its fleet's Valkey")
    )
    const live = await fetch(`${patient.url}/livez`)
    t.equal(live.status, 200, 'it lives all the same')
    await engine.start()
    await until(() => isReady(patient))
    t.ok(isWhole(await startChat(patient.url, 'hi').answer))
    await patient.stop()
    await engine.stop()
    const late = start(t, { FLEET_URL: engine.url })
    await late.ready()
    await engine.start(['maxmemory-policy allkeys-lru'])
    await isRefused(t, late, /allkeys-lru/)
    await engine.stop()
    const locked = start(t, { FLEET_URL: engine.url })
    await locked.ready()
    await engine.start(['user default on >hidden ~* &* +@all'])
    await isRefused(t, locked, /user or password/)
  }
)

t.test('what somebody writes into the register', { skip }, async (t) => {
  const max = 20
  const team = await FleetTeam.start(t, { names: ['a', 'b'], max })
  await team.allServe()
  const client = stranger(t, team.engine)
  const deep = `${'{"members":'.repeat(40_000)}1${'}'.repeat(40_000)}`
  const state = JSON.parse((await client.hget(LEDGER, 'state')) ?? '{}')
  const [inc = ''] = Object.keys(state.members)
  const member = state.members[inc]
  const hostile: Readonly<Record<string, Record<string, string>>> = {
    'a huge text': { state: 'x'.repeat(60_000_000) },
    'a deep one': { state: deep },
    'wrong types': {
      state: JSON.stringify({ ...state, members: { [inc]: { ...member, granted: '9' } } })
    },
    'more than there is': {
      state: JSON.stringify({ ...state, members: { [inc]: { ...member, granted: 1e300 } } })
    },
    'a name that is none': {
      state: JSON.stringify({ ...state, members: JSON.parse('{"__proto__": 7}') })
    },
    'half of it': { state: JSON.stringify(state).slice(0, 200) },
    'a revision that is none': { rev: '1e300', state: 'x' },
    'another one': { rev: 'seven', state: '[]' }
  }
  for (const [what, fields] of Object.entries(hostile)) {
    if (!isNightly && !BY_DAY.has(what)) continue
    const before = team.get('a').lines.length
    const { era } = JSON.parse((await client.hget(LEDGER, 'state')) ?? '{}')
    await client.hset(LEDGER, fields)
    await client.publish('{kiro:kiro}:news', String(Number.MAX_SAFE_INTEGER))
    await until(async () => {
      const found = parseJsonObject((await client.hget(LEDGER, 'state')) ?? '')
      return found?.['era'] !== undefined && found['era'] !== era && found['phase'] === 'open'
    })
    await team.allServe()
    const calls = ['a', 'b'].map((name) => startChat(team.get(name).url, 'sim:events=3'))
    t.ok((await Promise.all(calls.map(({ answer }) => answer))).every(isWhole), what)
    await team.get('a').logged(isNews, before)
    t.equal(team.get('a').lines.slice(before).filter(isNews).length, 1, 'one line')
  }
  const noise = Object.fromEntries(
    Array.from({ length: 3000 }, (_, at) => [`x${at}`, 'y'.repeat(100)])
  )
  await client.hset('{kiro:kiro}:beats', noise)
  await client.publish('{kiro:kiro}:news', 'seven')
  const load = Array.from({ length: 2 * max }, () =>
    startChat(team.get('a').url, 'sim:events=20 sim:gap=20')
  )
  t.ok((await Promise.all(load.map(({ answer }) => answer))).every(isWhole), 'beats of strangers')
  t.ok(team.census <= max, `${team.census} connections`)
  for (const gateway of team.gateways.values()) t.equal(gateway.child.exitCode, null)
})

t.test('clocks a day apart', { skip: skip || skipByDay }, async (t) => {
  const shift = join(t.testdir({}), 'shift.mjs')
  const day = 86_400_000
  writeFileSync(shift, `const now = Date.now.bind(Date)\nDate.now = () => now() + ${day}\n`)
  const team = await FleetTeam.start(t, { names: ['a'], max: 20, env: { FLEET_REPLICAS: '2' } })
  const late = team.add('b', {
    NODE_OPTIONS: `--import=${pathToFileURL(shift).href}`,
    KIRO_CREDS_FILE: '', // whose token would have ended a day ago
    KIRO_API_KEY: 'ksk_of_a_test_0123456789'
  })
  await late.ready()
  await team.allServe()
  const [{ time } = {}] = late.lines
  t.ok(Math.abs(Date.parse(String(time)) - Date.now() - day) < day / 2, 'its clock is')
  const load = Array.from({ length: 30 }, () => startChat(late.url, LONG))
  await until(() => team.simulator.stats().inFlight >= 14) // beyond its half: the other lends to it
  for (const { request } of load) request.destroy()
  const short = Array.from({ length: 30 }, () => startChat(late.url, 'sim:events=3'))
  t.ok((await Promise.all(short.map(({ answer }) => answer))).every(isWhole))
  t.ok(team.census <= 20, `${team.census} connections`)
  const left = team.get('a').lines.length
  t.equal(await late.stop(), 0)
  team.gateways.delete('b')
  const alone = Array.from({ length: 30 }, () => startChat(team.get('a').url, LONG))
  await until(() => team.simulator.stats().inFlight >= 17)
  for (const { request } of alone) request.destroy()
  t.notOk(team.get('a').lines.slice(left).some(isMessage('not serving in the fleet')))
})

t.test(
  'members with different settings: the smallest counts, and one line says so',
  { skip: skip || skipByDay },
  async (t) => {
    const team = await FleetTeam.start(t, { names: ['a'], max: 30, env: { FLEET_REPLICAS: '2' } })
    const small = team.add('b', { HTTP_MAX_CONNECTIONS: '12' })
    await small.ready()
    await team.allServe()
    const line = await team.get('a').logged(isWarning)
    t.match(line, { maxConnections: 30, others: [{ name: 'b', maxConnections: 12, replicas: 2 }] })
    const load = Array.from({ length: 30 }, () =>
      startChat(team.get('a').url, 'sim:events=40 sim:gap=20')
    )
    t.ok((await Promise.all(load.map(({ answer }) => answer))).every(isWhole))
    t.ok(team.census <= 12, `${team.census} connections`)
    t.equal(team.get('a').lines.filter(isWarning).length, 1)
  }
)

t.test('SIGHUP with another maximum', { skip }, async (t) => {
  const held: ServerResponse[] = []
  const answers = (text: string, _request: unknown, response: ServerResponse): boolean => {
    const isHeld = text.includes('held until the limit is lower')
    if (isHeld) held.push(response)
    return isHeld
  }
  const env = { FLEET_REPLICAS: '2', FIRST_TOKEN_TIMEOUT: '300' }
  const team = await FleetTeam.start(t, { names: [], max: 20, env, upstream: { answers } })
  const [a, b] = [team.add('a', {}, 20), team.add('b', {}, 20)]
  await Promise.all([a.ready(), b.ready()])
  await team.allServe()
  const client = stranger(t, team.engine)
  const stateIs = async (max: number, most: number): Promise<void> => {
    await until(async () => {
      const state = JSON.parse((await client.hget(LEDGER, 'state')) ?? '{}')
      const entries: { granted: number; returned: number }[] = Object.values(state.members)
      const leased = entries.reduce((sum, one) => sum + one.granted - one.returned, 0)
      return state.max === max && leased === most
    })
  }
  await stateIs(20, 20)
  const streams = Array.from({ length: 12 }, () =>
    startChat(a.url, 'held until the limit is lower')
  )
  await until(() => held.length === 12)
  await a.reload({ HTTP_MAX_CONNECTIONS: '8' })
  for (const response of held) response.end(Buffer.concat([textFrame('x'), endFrame]))
  t.ok((await Promise.all(streams.map(({ answer }) => answer))).every(isWhole), 'no stream is cut')
  await stateIs(8, 8)
  team.simulator.resetStats()
  const load = ['a', 'b'].flatMap((name) =>
    Array.from({ length: 12 }, () => startChat(team.get(name).url, 'sim:events=10 sim:gap=20'))
  )
  t.ok((await Promise.all(load.map(({ answer }) => answer))).every(isWhole))
  t.ok(team.census <= 8, `${team.census} connections`)
  await b.reload({ HTTP_MAX_CONNECTIONS: '30' })
  await a.reload({ HTTP_MAX_CONNECTIONS: '30' })
  await stateIs(30, 30)
})

t.test(
  'a pod of the same name proves that the one before has ended',
  { skip: skip || skipByDay },
  async (t) => {
    const team = await FleetTeam.start(t, { names: ['a'], max: 20, env: { FLEET_REPLICAS: '2' } })
    const first = team.add('b', pod('uid-1'))
    await first.ready()
    await team.allServe()
    for (const pid of [first.child.pid ?? 0, ...first.workerPids()]) process.kill(pid, 'SIGKILL')
    const began = performance.now()
    const second = team.add('b', pod('uid-2')) // in another STATE_DIR: the volume may be gone, too
    await second.ready()
    await team.allServe()
    const load = Array.from({ length: 30 }, () => startChat(second.url, LONG))
    await until(() => team.simulator.stats().inFlight >= 14)
    t.comment(`${Math.round(performance.now() - began)} ms from the kill to more than its part`)
    t.ok(team.census <= 20, `${team.census} connections`)
    for (const { request } of load) request.destroy()
  }
)
