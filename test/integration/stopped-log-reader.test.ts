import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { isNightly } from '../helper/nightly.ts'

t.setTimeout(900_000) // real processes, on a machine that may be busy

/** More than a pipe and all processes together keep the lines of. */
const REQUESTS = 1300
/** More than a pipe alone does. */
const FEWER = 300
/** With a name as long as this their lines are longer. */
const LONG_ID = 'x'.repeat(128)
/** Whoever waits for the reader waits for all of it. */
const DRAIN_SECONDS = 60
/** Nobody should have to wait so long for an answer. */
const FROZEN_MS = 60_000

/** Sends requests that have a line in the log each; resolves with the statuses that came. */
async function ask(url: string, count: number): Promise<ReadonlyMap<number, number>> {
  const statuses = new Map<number, number>()
  let left = count
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      const messages = [{ role: 'user', content: 'sim:events=1 sim:gap=0' }]
      const body = JSON.stringify({ model: 'auto', messages })
      const headers = { 'x-request-id': LONG_ID }
      const signal = AbortSignal.timeout(FROZEN_MS)
      const status = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers,
        body,
        signal
      })
        .then(async (response) => {
          await response.arrayBuffer()
          return response.status
        })
        .catch(() => 0)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (status === 0) return // it would take for ever
    }
  }
  await Promise.all(Array.from({ length: 20 }, one))
  return statuses
}

async function isAlive(url: string): Promise<boolean> {
  return fetch(`${url}/health`, { signal: AbortSignal.timeout(FROZEN_MS) }).then(
    ({ ok }) => ok,
    () => false
  )
}

async function start(t: Test, output: 'socket' | 'pipe'): Promise<GatewayProcess> {
  const gateway = await startGateway({
    output,
    env: { WORKERS: '2', DRAIN_TIMEOUT: String(DRAIN_SECONDS) }
  })
  t.teardown(() => {
    gateway.child.kill('SIGKILL')
    gateway.output.resume()
    return gateway.exited
  })
  return gateway
}

/** A container has a pipe. Sockets, as of service managers, are at test/observe/line-writer.test.ts by day. */
const OUTPUTS = isNightly ? (['pipe', 'socket'] as const) : (['pipe'] as const)

for (const output of OUTPUTS) {
  t.test(`a log reader that stands still, at the end of a ${output}`, async (t) => {
    const gateway = await start(t, output)
    gateway.output.pause()
    t.same([...(await ask(gateway.url, REQUESTS))], [[200, REQUESTS]], 'freezes nobody')
    t.ok(await isAlive(gateway.url))
    gateway.output.resume()
    for (let tries = 0; tries < 10_000 && written(gateway) + lost(gateway) < REQUESTS; tries++) {
      await delay(10)
    }
    t.equal(written(gateway) + lost(gateway), REQUESTS, 'reads later what it has missed')
    t.ok(lost(gateway) > 0)

    gateway.output.pause()
    t.same([...(await ask(gateway.url, FEWER))], [[200, FEWER]])
    const startedAt = performance.now()
    gateway.child.kill('SIGTERM')
    while (!hasExited(gateway) && performance.now() - startedAt < 100_000) await delay(20)
    t.equal(gateway.child.exitCode, 0, 'does not keep it from ending')
    t.ok(performance.now() - startedAt < DRAIN_SECONDS * 1000, 'in time')
  })
}

for (const output of OUTPUTS) {
  t.test(`a log reader that is gone, at the end of a ${output}, ends nothing`, async (t) => {
    const gateway = await start(t, output)
    const pids = gateway.workerPids()
    gateway.output.destroy()
    t.same([...(await ask(gateway.url, 200))], [[200, 200]])
    t.ok(pids.every(isRunning), 'the workers are those that it had')
    gateway.child.kill('SIGTERM')
    t.equal(await gateway.exited, 0)
  })
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function hasExited({ child }: GatewayProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

function written({ lines }: GatewayProcess): number {
  return lines.filter(({ msg }) => msg === 'request completed').length
}

/** How many lines the workers say that they have lost. */
function lost({ lines }: GatewayProcess): number {
  return lines
    .filter(({ msg }) => msg === 'log lines dropped')
    .reduce((sum, line) => sum + Number(line['lines']), 0)
}
