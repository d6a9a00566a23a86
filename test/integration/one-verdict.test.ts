import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { Checkup } from '../../src/cli/doctor/checks/checkup.ts'
import { portCheck } from '../../src/cli/doctor/checks/port-check.ts'
import { inspectConfig } from '../../src/config/load.ts'
import { until } from '../helper/fleet-team.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { PanelClient, type PanelReply } from '../helper/panel-client.ts'

/* One judgement: the same cases seen at the panel, at `/readyz`, by `doctor` and by alerts. */

t.setTimeout(600_000) // processes, on a machine that may be very busy

const OPERATOR = 'operator-key-of-the-panel'
const FAILING = 'requests-failing'

type Level = 'green' | 'amber' | 'red'

interface Case {
  readonly about: string
  readonly ask: () => Promise<unknown>
  readonly times: number
  readonly level: Level
  readonly codes: readonly string[]
  /** Finding of `doctor`. */
  readonly finding: string | null
  /** Alerts since the start. */
  readonly alerts: number
}

function chat(client: PanelClient, content: string, more: object = {}): Promise<PanelReply> {
  return client.post('/v1/chat/completions', {
    model: 'claude-sonnet-4.5',
    messages: [{ role: 'user', content }],
    ...more
  })
}

t.test('the same everywhere, whatever requests come to', async (t) => {
  const alerts: string[] = []
  const hook = createServer((request, response) => {
    void text(request).then((body) => alerts.push(String(JSON.parse(body).type)))
    response.end()
  })
  hook.listen(0, '127.0.0.1')
  await once(hook, 'listening')
  t.teardown(() => hook.close())
  const gateway = await startGateway({
    env: {
      PROXY_API_KEY: OPERATOR,
      WORKERS: '1',
      MAX_BODY_BYTES: '4096',
      ALERT_WEBHOOK_URL: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`
    }
  })
  t.teardown(() => gateway.destroy())
  const { port } = new URL(gateway.url)
  const program = PanelClient.withKey(gateway.url, OPERATOR)
  const keyOf = async (name: string, limits: object): Promise<PanelClient> => {
    const { secret } = (await program.post('/admin/v1/keys', { name, ...limits })).json
    return PanelClient.withKey(gateway.url, secret)
  }
  const slow = await keyOf('slow', { requests_per_minute: 1 })
  const poor = await keyOf('poor', { credits: '0.000001/day' })
  const narrow = await keyOf('narrow', { models: ['gpt-*'] })
  await chat(slow, 'Hello')
  const leave = async (): Promise<void> => {
    const gone = new AbortController()
    const body = {
      model: 'claude-sonnet-4.5',
      stream: true,
      messages: [{ role: 'user', content: 'sim:gap=200 Hello' }]
    }
    const headers = { authorization: `Bearer ${OPERATOR}`, 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify(body), signal: gone.signal }
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, init)
    await answer.body?.getReader().read()
    gone.abort()
  }
  const well = { times: 3, level: 'green', codes: [], finding: null, alerts: 0 } as const
  const stranger = PanelClient.withKey(gateway.url, 'wrong')
  const CASES: readonly Case[] = [
    { ...well, about: 'a start', times: 0, ask: async () => {} },
    { ...well, about: '401: a wrong key', ask: () => chat(stranger, 'Hello') },
    { ...well, about: '400: no messages', ask: () => chat(program, '', { messages: 'none' }) },
    { ...well, about: '413: too large', ask: () => chat(program, 'x'.repeat(5_000)) },
    { ...well, about: '429: too many a minute', ask: () => chat(slow, 'Hello') },
    { ...well, about: '429: no credits left', ask: () => chat(poor, 'Hello') },
    { ...well, about: '403: a model that is not allowed', ask: () => chat(narrow, 'Hello') },
    { ...well, about: '400: too long', ask: () => chat(program, 'sim:context-overflow') },
    { ...well, about: 'a client that leaves', ask: leave },
    {
      ...well,
      about: 'a conversation that Kiro refuses, again and again, says nothing about others',
      times: 4,
      ask: () => chat(program, 'sim:improper'),
      level: 'amber',
      codes: [],
      finding: 'gateway-unwell'
    },
    {
      ...well,
      about: 'one failure of the upstream',
      times: 1,
      ask: () => chat(program, 'sim:reset'),
      level: 'amber',
      codes: [],
      finding: 'gateway-unwell'
    },
    {
      ...well,
      about: 'a mistake of a client after it',
      times: 1,
      ask: () => chat(stranger, 'Hello'),
      level: 'amber',
      codes: [],
      finding: 'gateway-unwell'
    },
    {
      ...well,
      about: 'two more',
      times: 2,
      ask: () => chat(program, 'sim:reset'),
      level: 'red',
      codes: [FAILING],
      finding: 'gateway-failing',
      alerts: 1
    },
    {
      ...well,
      about: 'a success',
      times: 1,
      ask: () => chat(program, 'Hello'),
      level: 'amber',
      codes: [],
      finding: 'gateway-unwell',
      alerts: 1
    }
  ]
  const quota = {
    ...well,
    times: 1,
    level: 'red',
    finding: 'gateway-not-ready',
    alerts: 1
  } as const
  const LIMITED: readonly Case[] = [
    {
      ...quota,
      about: 'a quota that is used up is told once',
      times: 5,
      codes: ['quota-used-up'],
      ask: () => chat(program, 'sim:quota')
    },
    {
      ...quota,
      about: 'an operator lifts it, and the figures of the plan still say so',
      codes: [],
      finding: 'gateway-unwell',
      ask: () => program.post('/admin/v1/account/lift', {})
    },
    {
      ...quota,
      about: 'Kiro answers again, so the figures are asked for again',
      level: 'amber',
      codes: [],
      finding: 'gateway-unwell',
      ask: () => chat(program, 'Hello')
    }
  ]
  const env = { PROXY_API_KEY: OPERATOR, SERVER_PORT: port, SERVER_HOST: '127.0.0.1' }
  const { signal } = new AbortController()
  const doctor = new Checkup({ ...inspectConfig(env), env, signal })
  t.teardown(() => doctor[Symbol.asyncDispose]())
  const look = async () => {
    const [state, ready, findings] = await Promise.all([
      program.get('/admin/v1/state'),
      program.get('/readyz'),
      portCheck.run(doctor)
    ])
    return {
      panel: state.json.verdict.level,
      page: state.json.verdict.code === ready.json.verdict,
      ready: ready.json.level,
      codes: ready.json.codes,
      finding: findings.find(({ level }) => level !== 'ok')?.id ?? null,
      alerts: alerts.filter((type) => type === FAILING).length
    }
  }
  for (const { about, ask, times, level, codes, finding, alerts: told } of [...CASES, ...LIMITED]) {
    for (let n = 0; n < times; n++) await ask()
    // What has ended is counted in a moment.
    const wanted = { panel: level, page: true, ready: level, codes, finding, alerts: told }
    const deadline = performance.now() + 120_000
    await until(
      async () =>
        JSON.stringify(await look()) === JSON.stringify(wanted) || performance.now() > deadline
    )
    t.same(await look(), wanted, about)
  }
})
