import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { whyNoEngine } from '../helper/engine-process.ts'
import { FleetTeam } from '../helper/fleet-team.ts'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { startChat } from '../helper/chat-client.ts'
import { runCommandHere } from '../helper/command-here.ts'
import { documentedMetrics } from '../helper/documented-metrics.ts'
import { GatewayProcess } from '../helper/gateway-process.ts'
import {
  type FiredAlert,
  GRAFANA_FILE,
  PROMETHEUS_FOLDER,
  PrometheusProcess,
  withoutPrometheus
} from '../helper/prometheus.ts'
import { startSimulator } from '../helper/run-simulator.ts'
import { searchFor, next, say } from '../helper/simulated-words.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const OPERATOR = 'operators-own-key-of-tests'
const METRICS_KEY = 'for-the-metrics-alone'

interface Panel {
  readonly type: string
  readonly title: string
  readonly targets?: readonly { readonly expr: string }[]
}

const panels: readonly Panel[] = JSON.parse(readFileSync(GRAFANA_FILE, 'utf8')).panels
const rules: readonly { readonly alert: string; readonly expr: string }[] = parse(
  readFileSync(join(PROMETHEUS_FOLDER, 'alerts.yml'), 'utf8')
).groups[0].rules

/** As Grafana fills in a panel's query; the range has several scrapes of this test. */
function filledIn(expr: string): string {
  return expr.replaceAll('$__rate_interval', '10s').replaceAll('$instance', '.*')
}

/** What an alert compares, without the comparisons: that must be there, whether it fires or not. */
function comparedIn(expr: string): readonly string[] {
  return expr
    .split(/\s+(?:and|[<>]=?|[=!]=)\s+/)
    .filter((part) => !/^[\d.\s*]+$/.test(part))
    .map(withShortRanges)
}

function withShortRanges(text: string): string {
  return text.replaceAll(/\[\d+[mh]\]/g, '[10s]')
}

/** The configuration of the documentation, for this test's gateway and patience. */
function configure(t: Test, gateway: GatewayProcess): { file: string; folder: string } {
  const folder = t.testdir({ 'metrics-key': METRICS_KEY })
  const alerts = readFileSync(join(PROMETHEUS_FOLDER, 'alerts.yml'), 'utf8')
  const impatient = withShortRanges(alerts).replaceAll(/for: \d+m/g, 'for: 0s')
  writeFileSync(join(folder, 'alerts.yml'), impatient)
  const config = readFileSync(join(PROMETHEUS_FOLDER, 'prometheus.yml'), 'utf8')
    .replaceAll(': 15s', ': 1s')
    .replace('127.0.0.1:8000', new URL(gateway.url).host)
  const file = join(folder, 'prometheus.yml')
  writeFileSync(file, config)
  return { file, folder }
}

function inMs(ms: number): string {
  return new Date(Date.now() + ms).toISOString()
}

/** A sign-in whose registration ends in two days. */
function endingSignIn(): string {
  return JSON.stringify({
    accessToken: 'test-access-token',
    refreshToken: 'test-refresh-token',
    expiresAt: inMs(3_600_000),
    region: 'us-east-1',
    authMethod: 'IdC',
    provider: 'BuilderId',
    clientId: 'client',
    clientSecret: 'secret',
    clientSecretExpiresAt: inMs(2 * 86_400_000),
    profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/TEST'
  })
}

async function rig(t: Test) {
  const { url } = await startSimulator(t)
  const signIn = join(t.testdir({ 'sign-in.json': endingSignIn() }), 'sign-in.json')
  const gateway = new GatewayProcess({
    upstreamUrl: url,
    env: {
      STATE_DIR: 'state',
      KIRO_CREDS_FILE: signIn,
      PROXY_API_KEY: OPERATOR,
      METRICS_KEY,
      WORKERS: '2',
      HTTP_MAX_CONNECTIONS: '4',
      HTTP_POOL_TIMEOUT: '0.5',
      MEMORY_LIMIT: '1G'
    }
  })
  t.teardown(() => gateway.destroy())
  await gateway.ready()
  const key = async (...terms: readonly string[]): Promise<string> => {
    const from = gateway.lines.length
    const options = { cwd: gateway.folder, env: { STATE_DIR: 'state' } }
    const made = await runCommandHere(['key', 'add', ...terms], options)
    await gateway.logged((line) => line['msg'] === 'named keys reloaded', from)
    return made.stdout.trim()
  }
  return {
    gateway,
    anna: await key('anna', '--credits=100/month'),
    ben: await key('ben', '--credits=0.01/total')
  }
}

function user(content: string) {
  return [{ role: 'user', content }]
}

/** Everything that a gateway meets, once. */
async function meetEverything(url: string, keys: { readonly anna: string; readonly ben: string }) {
  const chat = (prompt: string, key = OPERATOR) =>
    startChat(url, prompt, { headers: { 'x-api-key': key } }).answer
  const messages = (body: object, path = '') =>
    fetch(`${url}/v1/messages${path}`, {
      method: 'POST',
      headers: { 'x-api-key': OPERATOR, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'claude-haiku-4.5', max_tokens: 2000, ...body })
    }).then((response) => response.text())
  const plain = ['hi', 'sim:cut-frame', 'sim:unknown-event', 'sim:events=20 sim:gap=5']
  for (const prompt of plain) await chat(prompt)
  await chat('hi', keys.anna)
  for (let n = 0; n < 4; n++) await chat('sim:events=40', keys.ben)
  await chat(`sim:flaky=1 ${performance.now()}`)
  await messages({ messages: user('hi'), system: 'x' }, '/count_tokens')
  await messages({ messages: [...user('a'), ...user('b'), ...user('c')] })
  await messages({
    messages: user(searchFor('news')),
    tools: [{ type: 'web_search_20250305', name: 'web_search' }]
  })
  await messages({
    messages: user(say('no call') + next('call tool look')),
    tools: [{ name: 'look', input_schema: { type: 'object', properties: {} } }],
    tool_choice: { type: 'tool', name: 'look' }
  })
  // More than there are connections for, and longer than they may wait.
  await Promise.all(Array.from({ length: 8 }, () => chat('sim:events=4 sim:gap=400')))
  await chat('sim:improper')
}

async function until<T>(look: () => Promise<T>, isGood: (seen: T) => boolean): Promise<T> {
  for (;;) {
    const seen = await look()
    if (isGood(seen)) return seen
    await delay(250)
  }
}

function everyQuery(): readonly string[] {
  return [
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => filledIn(expr))),
    ...rules.flatMap(({ expr }) => comparedIn(expr))
  ]
}

const FLEET_METRIC = /kiro_gateway_fleet_\w+/

t.test('a member of a fleet tells what is asked of fleets', { skip: whyNoEngine() }, async (t) => {
  const team = await FleetTeam.start(t, { names: ['a'], max: 10 })
  await team.allServe()
  const text = await (await fetch(`${team.get('a').url}/metrics`)).text()
  const told = new Set(text.split('\n').map((line) => FLEET_METRIC.exec(line)?.[0]))
  const asked = everyQuery().flatMap((expr) => FLEET_METRIC.exec(expr)?.[0] ?? [])
  t.ok(asked.length > 10, `${asked.length} queries`)
  t.same(
    asked.filter((name) => !told.has(name)),
    []
  )
})

t.test('with a real Prometheus', { skip: withoutPrometheus() }, async (t) => {
  const { gateway, ...keys } = await rig(t)
  const { file, folder } = configure(t, gateway)
  const prometheus = await PrometheusProcess.start(t, file, folder)
  await until(
    () => prometheus.query('up{job="kiro-gateway"} == 1'),
    (found) => found.length === 1
  )
  t.same(
    await calm(prometheus),
    ['KiroGatewaySignInEnds'],
    'nothing else fires before anything has happened'
  )

  const load = { isOver: false }
  const loading = (async () => {
    while (!load.isOver) await meetEverything(gateway.url, keys)
  })()

  const missing = new Set(everyQuery())
  const barred = [...missing].filter((expr) => expr.includes('account_bars'))
  for (const expr of barred) missing.delete(expr)
  for (const expr of missing) if (FLEET_METRIC.test(expr)) missing.delete(expr) // this one is alone
  await t.test('every query of the dashboard and of the alerts has data under load', async (t) => {
    const all = missing.size
    const deadline = performance.now() + 240_000
    while (missing.size > 0 && performance.now() < deadline) {
      for (const expr of missing)
        if ((await prometheus.query(expr)).length > 0) missing.delete(expr)
      await delay(250)
    }
    t.same([...missing], [], `${all} queries`)
  })

  await t.test('all labels are documented', async (t) => {
    const known = new Map(documentedMetrics().map(({ name, labels }) => [name, new Set(labels)]))
    const response = await fetch(`${gateway.url}/metrics`, {
      headers: { authorization: `Bearer ${METRICS_KEY}` }
    })
    const found = new Set<string>()
    for (const line of (await response.text()).split('\n').filter((one) => !one.startsWith('#'))) {
      const [, full = '', labels = ''] = /^([a-z_]+)\{(.*)\} /.exec(line) ?? []
      const name = known.has(full) ? full : full.replace(/_(bucket|count|sum)$/, '')
      for (const [, label = ''] of labels.matchAll(/(\w+)="/g))
        if (label !== 'le' && known.get(name)?.has(label) !== true) found.add(`${name} ${label}`)
    }
    t.same([...found], [])
  })

  await t.test('alerts fire when it goes wrong', async (t) => {
    const fired = await fireUntil(prometheus, ['KiroGatewayPoolTimeout', 'KiroGatewayRequestsFail'])
    t.match(fired.get('KiroGatewayPoolTimeout')?.summary, new URL(gateway.url).host)
    load.isOver = true
    await loading

    await killWorkers(gateway)
    const died = await fireUntil(prometheus, ['KiroGatewayWorkersDie'])
    t.match(died.get('KiroGatewayWorkersDie')?.description, 'in 15 minutes')

    await startChat(gateway.url, 'sim:quota', { headers: { 'x-api-key': OPERATOR } }).answer
    const refused = await fireUntil(prometheus, ['KiroGatewayAccountRefused'])
    t.match(refused.get('KiroGatewayAccountRefused')?.summary, /: monthly$/)
    for (const expr of barred) t.not((await prometheus.query(expr)).length, 0, expr)

    await gateway.stop()
    await fireUntil(prometheus, ['KiroGatewayDown'])
  })
})

/** The names of what fires after several scrapes. A machine that runs many tests may really be late. */
async function calm(prometheus: PrometheusProcess): Promise<readonly string[]> {
  await until(
    () => prometheus.query('count_over_time(up{job="kiro-gateway"}[1m]) > 3'),
    (found) => found.length === 1
  )
  const names = (await prometheus.firing()).map(({ name }) => name)
  return names.filter((name) => name !== 'KiroGatewayEventLoopLate')
}

/** Resolves when all of these have fired, at one time or another. */
async function fireUntil(
  prometheus: PrometheusProcess,
  names: readonly string[]
): Promise<ReadonlyMap<string, FiredAlert>> {
  const fired = new Map<string, FiredAlert>()
  await until(
    async () => {
      for (const alert of await prometheus.firing()) fired.set(alert.name, alert)
      return fired
    },
    (seen) => names.every((name) => seen.has(name))
  )
  return fired
}

/** Both at once: one after the other they may be further apart than the shortened range of the alert. */
async function killWorkers(gateway: GatewayProcess): Promise<void> {
  const pids = gateway.workerPids()
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  await until(
    async () => gateway.workerPids().filter((pid) => !pids.includes(pid)),
    (fresh) => fresh.length === pids.length
  )
}
