import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { type ChatAnswer, type ChatCall, startChat } from '../helper/chat-client.ts'
import { runCommandHere } from '../helper/command-here.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam, until } from '../helper/fleet-team.ts'
import type { GatewayProcess } from '../helper/gateway-process.ts'
import { skipByDay } from '../helper/nightly.ts'

t.setTimeout(600_000)

const skip = whyNoEngine()
const STATE = '.local/state/kiro-gateway'
const LONG = 'sim:events=4000 sim:gap=50'

/** Makes a key that all of them know then. */
async function addKey(team: FleetTeam, ...limits: readonly string[]): Promise<string> {
  const [first] = team.gateways.values()
  if (first === undefined) throw new Error('no gateway')
  const options = { cwd: first.folder, env: { STATE_DIR: join(first.folder, STATE) } }
  const name = `key-${randomUUID().slice(0, 8)}`
  const made = await runCommandHere(['key', 'add', name, ...limits, '--json'], options)
  if (made.code !== 0) throw new Error(made.stderr)
  const { key }: { readonly key: string } = JSON.parse(made.stdout)
  for (const one of team.gateways.values()) {
    await until(async () => {
      const headers = { authorization: `Bearer ${key}` }
      const answer = await fetch(`${one.url}/v1/models`, { headers })
      await answer.body?.cancel()
      return answer.status === 200
    })
  }
  return key
}

function ask(gateway: GatewayProcess, key: string, text: string): ChatCall {
  return startChat(gateway.url, text, { headers: { authorization: `Bearer ${key}` } })
}

async function countTokens({ url }: GatewayProcess, key: string) {
  const response = await fetch(`${url}/v1/messages/count_tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'auto', messages: [{ role: 'user', content: 'hi' }] })
  })
  await response.body?.cancel()
  return { status: response.status }
}

interface OwnUsage {
  readonly last_30_days: { readonly credits: number } | null
}

/** What a key has used at one gateway, once it has used something. */
async function creditsOf({ url }: GatewayProcess, key: string): Promise<number> {
  for (;;) {
    const answer = await fetch(`${url}/v1/usage`, { headers: { authorization: `Bearer ${key}` } })
    const { last_30_days: own }: OwnUsage = JSON.parse(await answer.text())
    if (own !== null && own.credits > 0) return own.credits
    await delay(50)
  }
}

/** Their statuses, counted. */
function counted(answers: readonly Pick<ChatAnswer, 'status'>[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

/** Number of the minute, which limits begin anew with. */
function minuteNow(): number {
  return Math.floor(Date.now() / 60_000)
}

/** Watches how many are under way upstream; gives the most. */
function watch(t: Test, team: FleetTeam): { most: number } {
  const seen = { most: 0 }
  const timer = setInterval(() => {
    seen.most = Math.max(seen.most, team.simulator.stats().inFlight)
  }, 5)
  t.teardown(() => clearInterval(timer))
  return seen
}

async function end(team: FleetTeam, calls: readonly ChatCall[]): Promise<void> {
  for (const { request } of calls) request.destroy()
  await until(() => team.simulator.stats().inFlight === 0)
}

t.test('a limit of a key holds over all gateways', { skip }, async (t) => {
  const team = await FleetTeam.start(t, {
    names: ['a', 'b', 'c'],
    max: 60,
    env: { PROXY_API_KEY: 'key-of-the-operator' }
  })
  await team.allServe()
  const [a, b, c] = [team.get('a'), team.get('b'), team.get('c')]
  const inFlight = () => team.simulator.stats().inFlight

  await t.test('ten streams at once, all at one, then at all, then at another', async (t) => {
    const key = await addKey(team, '--max-streams', '10')
    const seen = watch(t, team)
    const first = Array.from({ length: 14 }, () => ask(a, key, LONG))
    let took = await until(() => inFlight() === 10)
    t.comment(`ten at one after ${took.toFixed(0)} ms`)
    await delay(300)
    t.equal(inFlight(), 10)
    const others = [b, c].flatMap((one) => Array.from({ length: 8 }, () => ask(one, key, LONG)))
    await delay(300)
    t.equal(inFlight(), 10)
    await Promise.all(first.map(async ({ request }) => request.destroy()))
    took = await until(() => inFlight() === 10)
    t.comment(`ten at the others after ${took.toFixed(0)} ms`)
    await end(team, others)
    const last = Array.from({ length: 12 }, () => ask(c, key, LONG))
    took = await until(() => inFlight() === 10)
    t.comment(`ten at the third after ${took.toFixed(0)} ms`)
    await end(team, last)
    t.equal(seen.most, 10, 'never more')
  })

  await t.test('thirty requests a minute, by turns', async (t) => {
    const gateways = [a, a, a, a, b, c] // one of them has most of it
    const sixty = async (ask: (one: GatewayProcess) => Promise<Pick<ChatAnswer, 'status'>>) => {
      const answers = []
      for (let turn = 0; turn < 10; turn += 1)
        answers.push(...(await Promise.all(gateways.map(ask))))
      return counted(answers)
    }
    for (;;) {
      const key = await addKey(team, '--requests-per-minute', '30')
      const minute = minuteNow()
      const chats = await sixty((one) => ask(one, key, 'sim:events=1 sim:gap=0').answer)
      const counts = await sixty((one) => countTokens(one, key))
      if (minuteNow() !== minute) continue // another key, until all of it falls into one minute
      t.same(chats, { 200: 30, 429: 30 })
      t.same(counts, { 200: 30, 429: 30 }, 'and as many that are answered here')
      return
    }
  })

  await t.test('credits for ten, once each gateway has learnt the price', async (t) => {
    const teacher = await addKey(team)
    for (const one of [a, b, c]) await ask(one, teacher, 'sim:events=1 sim:gap=0').answer
    const price = await creditsOf(a, teacher)
    const limit = Math.round(price * 10 * 1e6) / 1e6
    const key = await addKey(team, '--credits', `${limit}/total`)
    const calls = Array.from({ length: 30 }, (_, at) => {
      const one = [a, b, c][at % 3] ?? a
      return ask(one, key, LONG)
    })
    const refused: ChatAnswer[] = []
    for (const { answer } of calls)
      void answer.then((one) => one.status === 429 && refused.push(one))
    await until(() => inFlight() === 10 && refused.length === 20)
    await delay(500)
    t.equal(inFlight(), 10)
    await end(team, calls)
    t.equal(refused.length, 20)
    t.match(refused[0]?.text, `has a limit of ${limit} credits`)
  })

  await t.test('requests within the parts cost Valkey nothing', { skip: skipByDay }, async (t) => {
    const limits = [
      '--max-streams',
      '60',
      '--requests-per-minute',
      '6000',
      '--credits',
      '9000/total'
    ]
    const key = await addKey(team, ...limits)
    const turn = () =>
      Promise.all([a, b, c].map((one) => ask(one, key, 'sim:events=1 sim:gap=0').answer))
    for (let count = 0; count < 10; count += 1) await turn()
    const client = new Redis(team.engine.url)
    t.teardown(() => client.disconnect())
    const commands = async (): Promise<number> => {
      const [, calls] = /cmdstat_eval:calls=(\d+)/.exec(await client.info('commandstats')) ?? []
      return Number(calls)
    }
    const [before, began] = [await commands(), performance.now()]
    for (let count = 0; count < 100; count += 1) await turn()
    const tookMs = performance.now() - began
    const busy = (await commands()) - before
    await delay(tookMs)
    const idle = (await commands()) - before - busy
    t.comment(
      `300 requests in ${tookMs.toFixed(0)} ms: ${busy} commands; as long without any: ${idle}`
    )
    t.ok(busy <= idle * 1.2 + 30)
  })

  await t.test('Valkey is away: each goes on with its part', { skip: skipByDay }, async (t) => {
    const key = await addKey(team, '--max-streams', '10')
    const seen = watch(t, team)
    const first = Array.from({ length: 8 }, () => ask(a, key, LONG))
    await until(() => inFlight() === 8)
    await team.engine.stop('SIGKILL')
    const others = [b, c].flatMap((one) => Array.from({ length: 8 }, () => ask(one, key, LONG)))
    await delay(1_500)
    t.ok(inFlight() >= 8 && inFlight() <= 10, `${inFlight()}`)
    const fresh = [a, b, c].map((one) => ask(one, key, LONG))
    await team.engine.start()
    await team.allServe()
    await until(() => inFlight() === 10)
    await delay(300)
    t.equal(seen.most, 10, 'never more, also when it has forgotten all')
    await end(team, [...first, ...others, ...fresh])
  })

  await t.test('one is killed: what it had comes back when it is certainly gone', async (t) => {
    const key = await addKey(team, '--max-streams', '10')
    const victim = team.get('b')
    const there = Array.from({ length: 10 }, () => ask(victim, key, LONG))
    await until(() => inFlight() === 10)
    for (const pid of [victim.child.pid ?? 0, ...victim.workerPids()]) process.kill(pid, 'SIGKILL')
    await Promise.all(there.map(({ answer }) => answer.catch(() => null)))
    await until(() => inFlight() === 0) // the upstream has heard of it, too
    const seen = watch(t, team)
    const calls = [a, c].flatMap((one) => Array.from({ length: 10 }, () => ask(one, key, LONG)))
    const took = await until(() => inFlight() === 10)
    t.comment(`${took.toFixed(0)} ms from the kill`)
    await delay(300)
    t.equal(seen.most, 10)
    await end(team, calls)
  })
})
