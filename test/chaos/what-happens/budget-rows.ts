import { writeFileSync } from 'node:fs'
import { Agent, request as httpRequest } from 'node:http'
import { countComplete, ms, spread, Stage, timed, until } from './stage.ts'

const TEN = { HTTP_MAX_CONNECTIONS: '10' }
const ROUNDS = 30

/** What a request meets when the budget is used up, and what it costs it when that ends. */
export async function saturated(): Promise<string> {
  await using stage = await Stage.open(TEN)
  const { upstream } = stage
  await stage.running(10)
  const handovers: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const before = upstream.calls.length
    stage.chat()
    await stage.waiting(1)
    const endedAt = performance.now()
    upstream.calls[round]?.finish()
    handovers.push((await upstream.arrived(before + 1)).arrivedAt - endedAt)
  }
  return `${upstream.counting.max} of 10 connections at most; the oldest waiter was at the upstream ${spread(handovers)} after a stream had ended`
}

export async function queueFull(): Promise<string> {
  await using stage = await Stage.open({ ...TEN, HTTP_POOL_MAX_WAITING: '20' })
  await stage.running(10)
  stage.chats(20)
  await stage.waiting(20)
  const refused = []
  for (let round = 0; round < ROUNDS; round++) refused.push(await timed(stage.chat()))
  const [first] = refused
  const all = refused.every(({ status }) => status === 503)
  return `${all ? '503' : 'NOT ALL 503'} after ${spread(refused.map(({ tookMs }) => tookMs))}, retry-after ${first?.headers['retry-after']}: ${messageOf(first?.text)}`
}

export async function poolTimeout(): Promise<string> {
  await using stage = await Stage.open({ ...TEN, HTTP_POOL_TIMEOUT: '1' })
  await stage.running(10)
  const answers = await Promise.all(stage.chats(20).map((call) => timed(call)))
  const all = answers.every(({ status }) => status === 503)
  return `${all ? '503' : 'NOT ALL 503'} after ${spread(answers.map(({ tookMs }) => tookMs))} with HTTP_POOL_TIMEOUT=1, retry-after ${answers[0]?.headers['retry-after']}: ${messageOf(answers[0]?.text)}`
}

export async function resizedUp(): Promise<string> {
  await using stage = await Stage.open(TEN)
  const { gateway, upstream } = stage
  const calls = [...(await stage.running(10)), ...stage.chats(10)]
  await stage.waiting(10)
  const at = performance.now()
  await gateway.reload({ HTTP_MAX_CONNECTIONS: '20' }) // one of them reserved
  await upstream.arrived(19)
  const tookMs = performance.now() - at
  upstream.finishAll()
  await upstream.arrived(20)
  upstream.finishAll()
  return `10 → 20: the waiters had their connections ${ms(tookMs)} after the signal; ${await countComplete(calls)} of 20 streams complete`
}

export async function resizedDown(): Promise<string> {
  await using stage = await Stage.open({ HTTP_MAX_CONNECTIONS: '15' })
  const { gateway, upstream } = stage
  const calls = await stage.running(15)
  await gateway.reload({ HTTP_MAX_CONNECTIONS: '5', HTTP_MAX_KEEPALIVE_CONNECTIONS: '5' })
  const at = performance.now()
  upstream.finishAll()
  await until(() => upstream.counting.open <= 5)
  const tookMs = performance.now() - at
  return `15 → 5 under 15 streams: ${await countComplete(calls)} of 15 complete, ${upstream.counting.open} connections ${ms(tookMs)} after the last end`
}

export async function badSettings(): Promise<string> {
  await using stage = await Stage.open(TEN)
  const { gateway, upstream } = stage
  const calls = await stage.running(10)
  const text = 'HTTP_MAX_CONNECTIONS=many\nHTTP_POOL_TIMEOUT=-1\n'
  writeFileSync(`/proc/${gateway.child.pid}/cwd/.env`, text)
  gateway.child.kill('SIGHUP')
  const line = await gateway.logged(
    ({ msg }) => msg === 'settings cannot be reloaded, nothing was changed'
  )
  const { msg: message } = line['err'] as { readonly msg: string }
  const budget = (await stage.scrape()).sum('upstream_connection_budget')
  upstream.finishAll()
  return `the budget stayed ${budget}, ${await countComplete(calls)} of 10 streams complete; the log: ${message.replaceAll('\n', ' ')}`
}

/** Clients that keep their connections, all of them to one worker: the other is stopped while they connect. */
export async function allOnOneWorker(): Promise<string> {
  await using stage = await Stage.open({ HTTP_MAX_CONNECTIONS: '40' })
  const { gateway, upstream } = stage
  const [, other = 0] = gateway.workerPids()
  const usable = 38
  const agent = new Agent({ keepAlive: true, maxSockets: usable })
  process.kill(other, 'SIGSTOP')
  await Promise.all(
    Array.from({ length: usable }, () => send(agent, `${gateway.url}/health`, null))
  )
  process.kill(other, 'SIGCONT')
  const body = JSON.stringify({
    model: 'claude-haiku-4.5',
    stream: true,
    messages: [{ role: 'user', content: 'Hello' }]
  })
  const at = performance.now()
  const answers = Array.from({ length: usable }, () =>
    send(agent, `${gateway.url}/v1/chat/completions`, body)
  )
  await upstream.arrived(usable)
  const tookMs = performance.now() - at
  const scrape = await stage.scrape()
  upstream.finishAll()
  const complete = (await Promise.all(answers)).filter((text) => text.endsWith('data: [DONE]\n\n'))
  agent.destroy()
  const leases = Object.entries(scrape.sumBy('pool_permits_leased', 'worker'))
  return `${complete.length} of ${usable} streams ran at once, all at the upstream after ${ms(tookMs)} (leases ${leases.map(([name, permits]) => `${name}: ${permits}`).join(', ')})`
}

/** Streams run and more come all the time while every worker is replaced. */
export async function workersReplaced(): Promise<string> {
  await using stage = await Stage.open({ HTTP_MAX_CONNECTIONS: '40' })
  const { gateway, upstream } = stage
  const calls = [...(await stage.running(20))]
  const before = gateway.workerPids()
  const at = performance.now()
  gateway.child.kill('SIGUSR2')
  while (gateway.workerPids().some((pid) => before.includes(pid))) {
    calls.push(...(await stage.running(1)))
    upstream.finishAll()
  }
  await gateway.logged(({ msg }) => msg === 'rolling restart complete')
  const tookMs = performance.now() - at
  return `${await countComplete(calls)} of ${calls.length} streams complete, all workers replaced after ${ms(tookMs)}; at most ${upstream.counting.max} of 40 connections`
}

function send(agent: Agent, url: string, body: string | null): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = httpRequest(url, {
      agent,
      method: body === null ? 'GET' : 'POST',
      headers: { 'content-type': 'application/json' }
    })
    call.on('error', reject)
    call.on('response', (response) => {
      response.toArray().then((chunks) => resolve(chunks.join('')), reject)
    })
    call.end(body ?? undefined)
  })
}

function messageOf(text: string | undefined): string {
  const { error } = JSON.parse(text ?? '{}') as { error?: { message?: string } }
  return error?.message ?? ''
}
