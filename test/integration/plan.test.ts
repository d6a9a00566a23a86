import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { AlertReceiver } from '../helper/alert-receiver.ts'
import { startChat } from '../helper/chat-client.ts'
import { runCommandHere } from '../helper/command-here.ts'
import { whyNoEngine } from '../helper/engine-process.ts'
import { farFromMidnight } from '../helper/far-from-midnight.ts'
import { FleetTeam } from '../helper/fleet-team.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { openBook } from '../helper/open-book.ts'
import { startSimulator } from '../helper/run-simulator.ts'
import { usageRow } from '../helper/usage-row.ts'
import { skipByDay } from '../helper/nightly.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy
t.jobs = 4 // most of them wait, each with gateways of its own

/** After the start nothing looks at the plan by itself for so long. */
const SOON_MS = 25_000

t.test('a plan that is used to 85 % is told of as soon as anybody looks', async (t) => {
  const { url } = await startSimulator(t, { account: { used: 850 } })
  const receiver = await AlertReceiver.start(t)
  const env = { PROXY_API_KEY: 'my-key', ALERT_WEBHOOK_URL: receiver.url }
  const gateway = await startGateway({ upstreamUrl: url, env })
  t.teardown(() => gateway.destroy())
  const usage = async () => (await usageOf(gateway.url)) as Partial<OperatorUsage>
  while ((await usage()).used === undefined) await delay(20) // the upstream has not answered yet
  t.match(await usage(), { used: 850, limit: 1_000 })
  t.match(await receiver.told('plan-limit', SOON_MS), {
    text: 'The plan of the Kiro account is used to 80 %: 850 of 1000 credits.',
    percent: 80
  })
})

t.test('requests that would cost extra are refused, but those of keys that may', async (t) => {
  const account = { used: 999.995, limit: 1_000, isOverageEnabled: true }
  const { simulator, url } = await startSimulator(t, { account })
  const gateway = await startGateway({
    upstreamUrl: url,
    envFile: {},
    env: { PROXY_API_KEY: 'my-key', STATE_DIR: 'state', WORKERS: '2', HTTP_MAX_CONNECTIONS: '32' }
  })
  t.teardown(() => gateway.destroy())
  const cwd = { cwd: gateway.folder, env: { STATE_DIR: 'state' } }
  const made = await runCommandHere(['key', 'add', 'anna'], cwd)
  const anna = made.stdout.trim()
  const ask = (key: string, prompt = 'hi') =>
    startChat(gateway.url, prompt, { headers: { 'x-api-key': key } })
  const isReady = async () => (await fetch(`${gateway.url}/readyz`)).status === 200
  const streams = Array.from({ length: 40 }, () => ask('my-key', 'sim:stall'))
  t.teardown(() => streams.forEach(({ request }) => request.destroy()))
  while (simulator.stats().inFlight < 30) await delay(20)
  const waiting = ask('my-key')
  while (/pool_waiters [1-9]/.exec(await metricsOf(gateway.url)) === null) await delay(20)
  simulator.account.meter(1) // by another program
  const usage = async () => (await usageOf(gateway.url)) as { used: number; overage: object }
  while ((await usage()).used < 1_000) await delay(1_000) // an answer is given again for 15 s
  t.match((await usage()).overage, { enabled: true, rate: 0.04, cap: 10_000 })

  const refused = await waiting.answer
  t.equal(refused.status, 429, 'also who waits')
  t.match(JSON.parse(refused.text), {
    error: {
      type: 'insufficient_quota',
      code: 'insufficient_quota',
      message: /credits of the Kiro plan are used up.*quota is exhausted until it is reset at/
    }
  })
  t.match(refused.headers, { 'x-should-retry': 'false', 'retry-after': undefined })
  // The workers give their figures behind what they are told of the account.
  t.match(await metricsOf(gateway.url), /kiro_gateway_account_bars\{bar="overage"\} 1/)
  const messages = await fetch(`${gateway.url}/v1/messages`, {
    method: 'POST',
    headers: { 'x-api-key': 'my-key', 'content-type': 'application/json' },
    body: '{"model":"claude-sonnet-4.6","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
  })
  t.equal(messages.status, 429)
  t.match(await messages.json(), { type: 'error', error: { type: 'rate_limit_error' } })
  t.notOk(await isReady())
  for (const { request } of streams) request.destroy()

  await runCommandHere(['key', 'set', 'anna', '--overage'], cwd)
  while ((await ask(anna).answer).status !== 200) await delay(20)
  while (!(await isReady())) await delay(20) // there is a key that it serves
  t.equal((await ask('my-key').answer).status, 429, 'the others are refused as before')
  await runCommandHere(['key', 'set', 'anna', '--no-overage'], cwd)
  while ((await ask(anna).answer).status !== 429) await delay(20)
  await gateway.reload({ ALLOW_OVERAGE: 'true' })
  while ((await ask('my-key').answer).status !== 200) await delay(20)
  while (!(await isReady())) await delay(20)
})

t.test('what is used elsewhere is shown everywhere, and how long the plan lasts', async (t) => {
  await farFromMidnight()
  const stateDir = t.testdir({})
  await recordDays(stateDir, 5_000)
  const tomorrow = Date.now() + 86_400_000 // so that the plan is not reset within hours, on whichever day
  const { simulator, url } = await startSimulator(t, {
    account: { used: 900, limit: 1_000 },
    now: () => tomorrow
  })
  const receiver = await AlertReceiver.start(t)
  const env = { PROXY_API_KEY: 'my-key', STATE_DIR: stateDir, ALERT_WEBHOOK_URL: receiver.url }
  const gateway = await startGateway({ upstreamUrl: url, env })
  t.teardown(() => gateway.destroy())
  const usage = async () => (await usageOf(gateway.url)) as OperatorUsage
  while ((await usage()).recorded === null) await delay(100)
  const headers = { 'x-api-key': 'my-key' }
  t.equal((await startChat(gateway.url, 'hi', { headers }).answer).status, 200)
  simulator.account.meter(3.1) // by another program

  while ((await usage()).used < 903) await delay(1_000) // an answer is given again for 15 s
  const { recorded, forecast } = await usage()
  t.match(recorded, { drifting: true, today: { account: Number, gateway: Number, outside: 3.1 } })
  t.equal(recorded?.since.outside, 3.1)
  t.equal(forecast?.per_day, 5_003.1)
  const usedUpAt = Date.parse(forecast?.used_up_at ?? '')
  t.ok(usedUpAt > Date.now() && usedUpAt < Date.now() + 3_600_000, forecast?.used_up_at ?? '')
  const metrics = await metricsOf(gateway.url)
  t.match(metrics, /kiro_gateway_account_outside_credits\{since="day"\} 3\.1\n/)
  t.match(metrics, /kiro_gateway_plan_used_up_timestamp_seconds\{rate="weeks"\} \d/)
  t.match(await receiver.told('plan-drift', SOON_MS), {
    text: /^3\.1 credits used today did not go through this gateway, or were not metered\./,
    outside: 3.1
  })
  t.match(await receiver.told('plan-forecast', SOON_MS), { per_day: 5_000 })

  const cwd = { cwd: gateway.folder, env: { STATE_DIR: stateDir } }
  const shown = await runCommandHere(['usage'], cwd)
  t.match(shown.stderr, /3\.1 credits used today did not go through this gateway/)
  t.match(
    shown.stderr,
    /At the rate of the last weeks, 5003.1 credits a day, the plan lasts until 2/
  )
  const json = JSON.parse((await runCommandHere(['usage', '--json'], cwd)).stdout)
  t.match(json, { plan: { plan: 'KIRO SIMULATOR', limit: 1_000, today: { outside: 3.1 } } })
  const one = await runCommandHere(['usage', '--json', '--key=operator'], cwd)
  t.equal(JSON.parse(one.stdout).plan, null)
})

t.test(
  'a gateway of a fleet takes nothing for used elsewhere that another one has recorded',
  { skip: whyNoEngine() || skipByDay },
  async (t) => {
    const names = ['a', 'b']
    const env = { PROXY_API_KEY: 'my-key' }
    const upstream = { gapMs: 0, account: { used: 100 } }
    const team = await FleetTeam.start(t, { names, max: 32, env, upstream })
    await team.allServe()
    const gateways = names.map((name) => team.get(name))
    const headers = { 'x-api-key': 'my-key' }
    const askAll = (): Promise<unknown> =>
      Promise.all(gateways.map(({ url }) => startChat(url, 'hi', { headers }).answer))
    const outside = async (): Promise<readonly (number | undefined)[]> => {
      const all = await Promise.all(gateways.map(({ url }) => usageOf(url)))
      const { used } = team.simulator.account.figures
      const isNewest = (one: OperatorUsage): boolean => Math.abs(one.used - used) < 1e-6
      return (all as OperatorUsage[]).map((one) =>
        isNewest(one) ? one.recorded?.since.outside : undefined
      )
    }
    /** An answer is given again for 15 s, and what others have recorded is told some seconds later. */
    const becomes = async (credits: number): Promise<void> => {
      const isSo = (one: number | undefined): boolean =>
        one !== undefined && Math.abs(one - credits) < 0.001
      while (!(await outside()).every(isSo)) await delay(1_000)
    }
    await askAll()
    await becomes(0)
    const before = team.simulator.account.figures.used
    for (let n = 0; n < 10; n++) await askAll()
    t.ok(team.simulator.account.figures.used > before + 0.01)
    await becomes(0)
    team.simulator.account.meter(3.1)
    await becomes(3.1)
    t.pass('as much on both')
  }
)

interface OperatorUsage {
  readonly used: number
  readonly recorded: { readonly since: { readonly outside: number } } | null
  readonly forecast: { readonly per_day: number; readonly used_up_at: string | null } | null
}

/** Writes a record of four days, of which the first is not a whole one. */
async function recordDays(stateDir: string, credits: number): Promise<void> {
  const book = openBook(stateDir)
  const ago = [4, 3, 2, 1].map((days) => Date.now() - days * 86_400_000)
  book.record(ago.map((at) => usageRow({ at, key: 'operator', credits: credits * 1e6 })))
  await book.close()
}

async function usageOf(url: string): Promise<unknown> {
  return (await fetch(`${url}/v1/usage`, { headers: { 'x-api-key': 'my-key' } })).json()
}

async function metricsOf(url: string): Promise<string> {
  return (await fetch(`${url}/metrics`, { headers: { 'x-api-key': 'my-key' } })).text()
}
