import { setTimeout as delay } from 'node:timers/promises'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'
import { countCloseWait } from '../gateway-sockets.ts'
import { countComplete, ms, spread, Stage, timed, until } from './stage.ts'

const FORTY = { HTTP_MAX_CONNECTIONS: '40' }
const ROUNDS = 30

export async function workerKilled(): Promise<string> {
  await using stage = await Stage.open(FORTY)
  const { gateway, upstream } = stage
  const calls = await stage.running(38)
  const [victim = 0] = gateway.workerPids()
  const from = gateway.lines.length
  const at = performance.now()
  process.kill(victim, 'SIGKILL')
  await gateway.logged(
    ({ msg, state }) => msg === 'worker changed state' && state === 'ready',
    from
  )
  const replacedMs = performance.now() - at
  let freeMs: number | null = null
  while (freeMs === null) {
    if ((await stage.scrape()).sum('pool_permits_leased', { worker: 'leaving' }) === 0)
      freeMs = performance.now() - at
  }
  upstream.finishAll()
  const complete = await countComplete(calls)
  return `of 38 streams ${38 - complete} were its own and were cut, ${complete} complete; the next worker served after ${ms(replacedMs)}, its permits were free after at most ${ms(freeMs)}; at most ${upstream.counting.max} of 40 connections`
}

export async function primaryKilled(): Promise<string> {
  await using stage = await Stage.open(FORTY)
  const { gateway, upstream } = stage
  const calls = await stage.running(38)
  const pids = gateway.workerPids()
  const at = performance.now()
  gateway.child.kill('SIGKILL')
  await stage.refusing()
  const refusedMs = performance.now() - at
  upstream.finishAll()
  const complete = await countComplete(calls)
  const endedAt = performance.now()
  await until(() => !pids.some(isRunning))
  return `${complete} of 38 streams complete; new requests refused after ${ms(refusedMs)}; no process left ${ms(performance.now() - endedAt)} after the last stream`
}

export async function idleClosed(): Promise<string> {
  await using stage = await Stage.open(FORTY)
  const { gateway, upstream } = stage
  const calls = await stage.running(38)
  upstream.finishAll()
  await countComplete(calls)
  await delay(200) // everything settles
  const idle = upstream.counting.open
  const pids = [gateway.child.pid ?? 0, ...gateway.workerPids()]
  const at = performance.now()
  for (const socket of upstream.counting.sockets) socket.end()
  await until(() => upstream.counting.open === 0)
  const goneMs = performance.now() - at
  const closeWait = countCloseWait(pids)
  const before = upstream.calls.length
  const next = stage.chats(38)
  await upstream.arrived(before + 38)
  upstream.finishAll()
  return `${idle} were gone ${ms(goneMs)} after the FIN, ${closeWait} in CLOSE_WAIT; ${await countComplete(next)} of the next 38 streams complete`
}

export async function reusedReset(): Promise<string> {
  await using stage = await Stage.open(FORTY)
  const { upstream } = stage
  let complete = 0
  let resets = 0
  for (let round = 0; round < ROUNDS; round++) {
    const seen = new Set(upstream.counting.sockets)
    upstream.onStream = (request, response) => {
      if (seen.has(request.socket)) {
        resets += 1
        request.socket.resetAndDestroy()
        return
      }
      response.end(Buffer.concat([textFrame('whole'), endFrame]))
    }
    if (round === 0) await stage.chat().answer
    complete += await countComplete([stage.chat()])
  }
  return `${complete} of ${ROUNDS} answers complete although ${resets} of their requests met a reset on a reused connection`
}

export async function stalled(): Promise<string> {
  await using stage = await Stage.open(
    { HTTP_MAX_CONNECTIONS: '10', FIRST_TOKEN_TIMEOUT: '1', STREAMING_READ_TIMEOUT: '1' },
    { FIRST_TOKEN_MAX_RETRIES: '1' }
  )
  const { upstream } = stage
  const midway = await timedAll(stage, 10)
  upstream.onStream = () => {}
  const early = await timedAll(stage, 10)
  const hasMarker = midway.some(({ text }) => text.includes('[DONE]'))
  const permits = (await stage.scrape()).sum('pool_permits_in_use')
  return `before the first token: ${statusOf(early)} after ${spread(early.map(({ tookMs }) => tookMs))} with FIRST_TOKEN_TIMEOUT=1; midway: ${hasMarker ? 'AN END MARKER' : 'an error event, no end marker'}, after ${spread(midway.map(({ tookMs }) => tookMs))} with STREAMING_READ_TIMEOUT=1; ${permits} permits out afterwards`
}

/** Somebody waits, and a client leaves. */
export async function clientLeaves(): Promise<string> {
  await using stage = await Stage.open({ HTTP_MAX_CONNECTIONS: '10' })
  const { upstream } = stage
  const calls = [...(await stage.running(10))]
  const handovers: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const before = upstream.calls.length
    const waiter = stage.chat()
    await stage.waiting(1)
    const at = performance.now()
    calls[round]?.request.destroy()
    handovers.push((await upstream.arrived(before + 1)).arrivedAt - at)
    await waiter.firstBytes
    calls.push(waiter)
  }
  return `a request that waited was at the upstream ${spread(handovers)} later; at most ${upstream.counting.max} of 10 connections`
}

export async function terminated(): Promise<string> {
  await using stage = await Stage.open(FORTY)
  const { gateway, upstream } = stage
  const calls = await stage.running(38)
  const exited = gateway.stop()
  const at = performance.now()
  await stage.refusing()
  const refusedMs = performance.now() - at
  upstream.finishAll()
  const complete = await countComplete(calls)
  const endedAt = performance.now()
  const code = await exited
  return `${complete} of 38 streams complete, new requests refused after ${ms(refusedMs)}; exit code ${code} ${ms(performance.now() - endedAt)} after the last stream`
}

export async function tokenRefused(): Promise<string> {
  await using stage = await Stage.open(FORTY)
  const { upstream } = stage
  await stage.running(37)
  upstream.refuseToken()
  const call = stage.chat()
  stage.chats(50)
  await until(() => upstream.renewedAt > 0)
  const waiting = (await stage.scrape()).sum('pool_waiters')
  const renewMs = upstream.renewedAt - upstream.refusedAt
  upstream.onStream = (_request, response) =>
    response.end(Buffer.concat([textFrame('whole'), endFrame]))
  upstream.finishAll()
  const isServed = (await countComplete([call])) === 1
  return `all 38 connections for streams in use, ${waiting} waiting: the renewal was at the upstream ${ms(renewMs)} after the refusal, the call ${isServed ? 'was repeated and answered' : 'FAILED'}`
}

async function timedAll(stage: Stage, count: number) {
  return Promise.all(stage.chats(count).map((call) => timed(call)))
}

function statusOf(answers: readonly { readonly status: number }[]): string {
  return [...new Set(answers.map(({ status }) => status))].join(', ')
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
