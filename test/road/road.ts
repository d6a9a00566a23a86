import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startGateway } from '../helper/gateway-process.ts'
import type { Called } from './coverage-probe.ts'

/**
 * `npm run road`: which files and functions of `src/` a warm streamed request runs through, and one frame of its answer.
 * Exits with 1 if these are more than somebody can follow.
 */

const MaxFiles = { request: 70, frame: 15 }
const WarmUps = 20
const PatienceMs = 10_000
/** Longer than the interval of anything that runs by itself: metrics go to the primary every five seconds. */
const SilenceMs = 5500

const folder = mkdtempSync(join(tmpdir(), 'road-'))
const probe = new URL('coverage-probe.ts', import.meta.url)
probe.searchParams.set('folder', folder)
const gateway = await startGateway({
  isMeasured: true,
  env: { WORKERS: '1', NODE_OPTIONS: `--import=${probe.href}` }
})
try {
  const pid = gateway.workerPids()[0]
  if (pid === undefined) throw new Error('there is no worker')
  let taken = 0
  const take = async (): Promise<Called> => {
    process.kill(pid, 'SIGUSR2')
    return readSoon(join(folder, `${pid}.${taken++}`))
  }
  for (let count = 0; count < WarmUps; count++) await stream('sim:events=10 sim:gap=0')
  const ofNothing = await stillLife(take)
  await stream('sim:events=10 sim:gap=0')
  const ofRequest = without(await take(), ofNothing)
  const frames: Called[] = []
  await stream('sim:events=10 sim:gap=200', async (text) => {
    if (text.includes('event: content_block_delta')) frames.push(await take())
  })
  const ofFrame = without(commonTo(frames.slice(2, 8)), ofNothing) // timers run beside some frames, too
  show('a warm streamed /v1/messages', ofRequest)
  show('one frame of it', ofFrame)
  const counts = { request: Object.keys(ofRequest).length, frame: Object.keys(ofFrame).length }
  for (const what of ['request', 'frame'] as const) {
    const isFine = counts[what] > 0 && counts[what] <= MaxFiles[what]
    process.stdout.write(`${what}: ${counts[what]} files, at most ${MaxFiles[what]}\n`)
    if (!isFine) process.exitCode = 1
  }
} finally {
  await gateway.destroy()
  rmSync(folder, { recursive: true, force: true })
}

/** What runs while a client waits and nothing comes: sweeps, life signs, and what still awaits something. */
async function stillLife(take: () => Promise<Called>): Promise<Called> {
  let called: Called | undefined
  await stream(`sim:events=2 sim:gap=${2 * SilenceMs}`, async () => {
    if (called !== undefined) return
    await take()
    await delay(SilenceMs)
    called = await take()
  })
  return called ?? {}
}

/** One request to its end; `onText` sees each piece of its answer before the next is read. */
async function stream(prompt: string, onText?: (text: string) => Promise<void>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const headers = { 'content-type': 'application/json', 'anthropic-version': '2023-06-01' }
  const call = request(`${gateway.url}/v1/messages`, { method: 'POST', headers }, (response) => {
    response.setEncoding('utf8')
    void (async () => {
      let last = ''
      for await (const piece of response) {
        last = String(piece)
        await onText?.(last)
      }
      if (!last.includes('event: message_stop')) throw new Error(`no whole answer: ${last}`)
    })().then(resolve, reject)
  })
  call.on('error', reject)
  call.end(
    JSON.stringify({
      model: 'claude-haiku-4.5',
      max_tokens: 4096,
      stream: true,
      messages: [{ role: 'user', content: prompt }]
    })
  )
  return promise
}

function without(called: Called, others: Called): Called {
  const left = Object.entries(called).map(
    ([file, names]) => [file, names.filter((name) => !others[file]?.includes(name))] as const
  )
  return Object.fromEntries(left.filter(([, names]) => names.length > 0))
}

/** What is in all of them. */
function commonTo([first = {}, ...others]: readonly Called[]): Called {
  const common = Object.entries(first).map(([file, names]) => {
    const isInAll = (name: string) => others.every((one) => one[file]?.includes(name))
    return [file, names.filter(isInAll)] as const
  })
  return Object.fromEntries(common.filter(([, names]) => names.length > 0))
}

async function readSoon(file: string): Promise<Called> {
  const deadline = performance.now() + PatienceMs
  for (;;) {
    try {
      return JSON.parse(readFileSync(file, 'utf8')) as Called
    } catch (error) {
      if (performance.now() > deadline) throw error
      await delay(5)
    }
  }
}

function show(title: string, called: Called): void {
  const functions = Object.values(called).flat().length
  process.stdout.write(`${title}: ${Object.keys(called).length} files, ${functions} functions\n`)
  for (const [file, names] of Object.entries(called).toSorted(([a], [b]) => a.localeCompare(b)))
    process.stdout.write(`  ${file}: ${names.join(' ')}\n`)
}
