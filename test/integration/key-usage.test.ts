import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { allHeard } from '../helper/all-heard.ts'
import { runCommandHere } from '../helper/command-here.ts'
import { farFromMidnight } from '../helper/far-from-midnight.ts'
import { startChat } from '../helper/chat-client.ts'
import { GatewayProcess } from '../helper/gateway-process.ts'
import { startSimulator } from '../helper/run-simulator.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const OPERATOR = 'operators-own-key'

/** A gateway with two workers, and the commands beside it. */
async function rig(t: Test, env: Readonly<Record<string, string>> = {}) {
  const { simulator, url } = await startSimulator(t)
  const gateway = new GatewayProcess({
    upstreamUrl: url,
    env: { STATE_DIR: 'state', PROXY_API_KEY: OPERATOR, WORKERS: '2', ...env }
  })
  t.teardown(() => gateway.destroy())
  await gateway.ready()
  const run = (...args: readonly string[]) =>
    runCommandHere(args, { cwd: gateway.folder, env: { STATE_DIR: 'state' } })
  const json = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await run(...args, '--json')
    if (code !== 0) throw new Error(stderr)
    return JSON.parse(stdout)
  }
  const add = async (...args: readonly string[]): Promise<string> => {
    const from = gateway.lines.length
    const { key } = await json('key', 'add', ...args)
    await gateway.logged((line) => line['msg'] === 'named keys reloaded', from)
    await allHeard(gateway, OPERATOR)
    return key
  }
  const ask = (key: string, prompt = 'hi') =>
    startChat(gateway.url, prompt, { headers: { 'x-api-key': key } }).answer
  const get = async (path: string, key: string) => {
    const response = await fetch(gateway.url + path, { headers: { 'x-api-key': key } })
    return { status: response.status, text: await response.text() }
  }
  const usage = async (key: string) => JSON.parse((await get('/v1/usage', key)).text)
  return { gateway, simulator, run, json, add, ask, get, usage }
}

t.test('everything that tells of usage tells the same', async (t) => {
  await farFromMidnight()
  const { json, run, add, ask, get, usage } = await rig(t)
  const anna = await add('anna', '--credits=100/month')
  const ben = await add('ben')
  const calls = [anna, anna, anna, ben, OPERATOR].flatMap((key) => [ask(key), ask(key)])
  for (const { status } of await Promise.all(calls)) t.equal(status, 200)

  // Figures by which all are compared: those that the metrics have as soon as they are asked.
  let { text } = await get('/metrics', OPERATOR)
  const metric = (name: string, labels: string): number => {
    const line = text.split('\n').find((one) => one.startsWith(`kiro_gateway_${name}{${labels}}`))
    return Number(line?.split(' ').at(-1))
  }
  const sum = () =>
    ['anna', 'ben', 'operator']
      .map((key) => metric('key_requests_total', `key="${key}"`) || 0)
      .reduce((all, one) => all + one)
  // The figures of a worker without a core come with the next ones.
  while (sum() < calls.length) ({ text } = await get('/metrics', OPERATOR))
  t.equal(metric('key_requests_total', 'key="anna"'), 6)
  t.equal(metric('key_requests_total', 'key="ben"'), 2)
  t.equal(metric('key_requests_total', 'key="operator"'), 2)
  const credits = metric('key_credits_total', 'key="anna"')
  t.ok(credits > 0)

  const own = await usage(anna) // also before it is written
  t.same(own.today, own.last_30_days, 'both sums are of one moment')
  t.match(own, {
    object: 'usage',
    key: 'anna',
    period: 'month',
    limit: 100,
    used: credits,
    reserved: 0,
    remaining: 100 - credits,
    resets_at: /-01T00:00:00\.000Z$/,
    today: {
      requests: 6,
      failed: 0,
      credits,
      input_tokens: metric('key_tokens_total', 'key="anna",type="input"')
    }
  })
  t.notMatch(JSON.stringify(own), /ben|allowances/, 'of others it is told nothing')
  const all = await usage(OPERATOR)
  t.match(all, { object: 'usage', plan: 'KIRO SIMULATOR' })
  t.same(
    all.keys.map(({ key, today }: { key: string; today: { requests: number } }) => [
      key,
      today.requests
    ]),
    [
      ['anna', 6],
      ['ben', 2],
      ['operator', 2]
    ]
  )

  let inFile = await json('usage')
  while (inFile.total.requests !== 10) inFile = await json('usage') // within half a second it is written
  const { rows } = inFile
  t.match(
    rows.find(({ key }: { key: string }) => key === 'anna'),
    {
      requests: 6,
      credits,
      output_tokens: metric('key_tokens_total', 'key="anna",type="output"')
    }
  )
  t.match(await run('usage', '--by', 'client', '--csv', '--key', 'ben'), {
    code: 0,
    stdout: /^client,requests,failed,input_tokens,output_tokens,cached_tokens,credits\nother,2,0,/
  })
  const table = await run('usage', '--since', '1d')
  t.match(table.stdout, /^KEY +REQUESTS .*\nanna +6 .*\n(.*\n)*total +10 /)
  t.match(await run('usage', '--by', 'person'), { code: 2, stderr: /--by needs/ })
  t.match(await run('usage', '--since', 'ever'), { code: 2, stderr: /--since needs/ })
})

t.test('a revoked key has nothing left', async (t) => {
  const { run, add, ask } = await rig(t)
  const anna = await add('anna', '--credits=5/week')
  t.match(await ask(anna), { status: 200 })
  t.match(await run('key', 'list'), { stdout: /\nanna +in force +\S+ +[45]\.\d+ +5\/week / })
  t.match(await run('key', 'revoke', 'anna'), { code: 0 })
  t.match(await run('key', 'list'), { stdout: /\nanna +revoked +\S+ +- +5\/week / })
  t.notMatch((await run('key', 'show', 'anna')).stdout, /\nleft/)
})

t.test('top shows who is at work', async (t) => {
  const { gateway, run, add, ask } = await rig(t)
  const anna = await add('anna')
  t.match(await ask(anna), { status: 200 })
  const { request } = startChat(gateway.url, 'sim:stall', { headers: { 'x-api-key': anna } })
  t.teardown(() => request.destroy())
  const at = ['--once', '--url', gateway.url]
  let seen = await run('top', ...at, '--key', OPERATOR, '--json')
  while (!/"streams":1/.test(seen.stdout))
    seen = await run('top', ...at, '--key', OPERATOR, '--json')
  t.match(JSON.parse(seen.stdout), {
    in_flight: 1,
    waiting: 0,
    keys: [{ key: 'anna', streams: 1, waiting: 0, requests: 1, credits_per_hour: null }]
  })
  const { stdout } = await run('top', ...at, '--key', OPERATOR)
  t.match(
    stdout,
    /^1 requests running, 0 waiting for a connection\n\d+ requests since the start, \d+\.\d\d credits\n\nKEY +STREAMS .*\nanna +1 +0 +1 /
  )
  t.match(await run('top', ...at, '--key', anna), { code: 2, stderr: /an operator key/ })
  t.match(await run('top', '--once', '--url', 'http://127.0.0.1:9'), {
    code: 2,
    stderr: /No gateway answers/
  })
})

t.test('a gateway that records nothing serves and tells of limits', async (t) => {
  const { add, ask, usage, run } = await rig(t, { USAGE_LOG: 'false' })
  const anna = await add('anna', '--credits=100/total')
  t.match(await ask(anna), { status: 200 })
  while ((await usage(anna)).used === 0) await delay(20)
  t.match(await usage(anna), { limit: 100, resets_at: null, reserved: 0, today: null })
  t.match(await run('usage', '--json'), { code: 0, stdout: /"rows":\[\]/ })
})
