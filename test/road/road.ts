import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { runKiroGateway } from '../helper/cli-process.ts'
import { startGateway } from '../helper/gateway-process.ts'
import type { Called } from './coverage-probe.ts'

/**
 * `npm run road`: which files and functions of `src/` a warm streamed request runs through, and one frame of its answer; which
 * files a row of usage is handed through, from the end of a turn to the database; what a key's limit of credits and the
 * renewal of a token, with and without the look at the account's usage, run besides. Exits with 1 if these are more than somebody can follow.
 */

const MaxFiles = { request: 64, frame: 12, row: 8 }
const OperatorKey = 'an-operator-key'
const Short = 'sim:events=10 sim:gap=0'
const WarmUps = 20
/** A row is in the database, and the dashboard and metrics know of it. */
const SettledMs = 1000
const PatienceMs = 10_000
/** Longer than the interval of anything that runs by itself: metrics go to the primary every five seconds. */
const SilenceMs = 5500
/** Longer than figures of the usage count as fresh: a question then goes to the upstream. */
const StaleMs = 16_000

const folder = mkdtempSync(join(tmpdir(), 'road-'))
const notes = join(folder, 'notes')
const probes = [probeOf('coverage-probe.ts', { folder }), probeOf('row-probe.ts', { notes })]
const gateway = await startGateway({
  isMeasured: true,
  env: {
    WORKERS: '1',
    PROXY_API_KEY: OperatorKey,
    HTTP_KEEPALIVE_EXPIRY: 'none', // on a busy machine, an older connection's end would fall into a request
    NODE_OPTIONS: probes.map((probe) => `--import=${probe}`).join(' ')
  }
})
try {
  const pid = gateway.workerPids()[0]
  const primaryPid = gateway.child.pid
  if (pid === undefined || primaryPid === undefined) throw new Error('there is no worker')
  const take = taker(pid)
  const takePrimary = taker(primaryPid)
  const keys = {
    plain: await addKey('plain'),
    limited: await addKey('limited', '--credits=1000/day')
  }
  for (const key of [keys.plain, keys.limited])
    for (let count = 0; count < WarmUps; count++) await stream(Short, { key })
  await delay(SilenceMs)
  const still = await stillLife(take, keys.plain)
  await delay(2 * SettledMs)
  await takePrimary()
  await delay(SilenceMs)
  const stillPrimary = await takePrimary()

  for (const _ of ['over a new connection', 'over that']) {
    await delay(StaleMs)
    const usage = await fetch(`${gateway.url}/v1/usage`, { headers: { 'x-api-key': OperatorKey } })
    if (!usage.ok) throw new Error(`no usage: ${await usage.text()}`)
  }
  await delay(SettledMs)
  const look = both(without(await take(), still), without(await takePrimary(), stillPrimary))
  // The silence outlasted the client's connection, and the second may go over one to the upstream that was opened ahead.
  for (const _ of ['over a new connection', 'perhaps over another', 'over that']) {
    await stream(Short, { key: keys.plain })
    await delay(SettledMs)
  }
  await take()
  await takePrimary()
  await stream(Short, { key: keys.plain })
  await delay(SettledMs)
  const request = without(await take(), still)
  const primary = without(await takePrimary(), stillPrimary)
  const row = await rowFiles(() => stream(Short, { key: keys.plain }))
  await take()
  await takePrimary()
  await stream(Short, { key: keys.limited })
  await delay(SettledMs)
  const charge = both(
    without(without(await take(), still), request),
    without(without(await takePrimary(), stillPrimary), primary)
  )
  // A second one at once, so that there is another idle connection for the repeated call below.
  await Promise.all(
    ['sim:flaky=1 once', Short].map((prompt) => stream(prompt, { key: keys.plain }))
  )
  await delay(SettledMs)
  const again = await take()
  await takePrimary()
  await stream('sim:expired once', { key: keys.plain })
  await delay(SettledMs)
  const renewal = both(
    without(without(await take(), still), both(request, again)),
    without(without(await takePrimary(), stillPrimary), primary)
  )
  const frames: Called[] = []
  await stream('sim:events=40 sim:gap=100', {
    key: keys.plain,
    onText: async (text) => {
      if (text.includes('event: content_block_delta')) frames.push(await take())
    }
  })
  // On a busy machine two frames are taken at once, and the take after them has none.
  const read = frames
    .slice(2, 38)
    .filter((one) => one['server/ask/attempt.ts']?.includes('onChunk'))
  const frame = without(commonTo(read), still) // timers run beside some frames, too: never beside all of so many

  show('a warm streamed /v1/messages, in the worker', request)
  show('the same in the primary', primary)
  show('one frame of it', frame)
  show('what a limit of credits adds, in both', charge)
  show('the renewal of a token, in both', renewal)
  show('the same without what a look at the usage runs, which follows each', without(renewal, look))
  process.stdout.write(
    `a row of usage, from the end of a turn to the database: ${row.length} files\n`
  )
  for (const file of row) process.stdout.write(`  ${file}\n`)
  const counts = {
    request: Object.keys(request).length,
    frame: Object.keys(frame).length,
    row: row.length
  }
  for (const what of ['request', 'frame', 'row'] as const) {
    const isFine = counts[what] > 0 && counts[what] <= MaxFiles[what]
    process.stdout.write(`${what}: ${counts[what]} files, at most ${MaxFiles[what]}\n`)
    if (!isFine) process.exitCode = 1
  }
} finally {
  await gateway.destroy()
  rmSync(folder, { recursive: true, force: true })
}

function probeOf(file: string, parameters: Readonly<Record<string, string>>): string {
  const probe = new URL(file, import.meta.url)
  for (const [name, value] of Object.entries(parameters)) probe.searchParams.set(name, value)
  return probe.href
}

/** Returns a function that resolves with what a process has called since it was asked last. */
function taker(pid: number): () => Promise<Called> {
  let taken = 0
  return () => {
    process.kill(pid, 'SIGWINCH')
    return readSoon(join(folder, `${pid}.${taken++}`))
  }
}

async function addKey(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runKiroGateway(['key', 'add', ...args, '--json'], {
    cwd: gateway.folder
  })
  if (code !== 0) throw new Error(stderr)
  const { key } = JSON.parse(stdout) as { readonly key: string }
  const headers = { 'x-api-key': key }
  while ((await fetch(`${gateway.url}/v1/usage`, { headers })).status !== 200) await delay(50)
  return key
}

/** The files that hand the row of one request on, in the order in which they first do. */
async function rowFiles(run: () => Promise<void>): Promise<readonly string[]> {
  rmSync(notes, { force: true })
  await run()
  await delay(SettledMs)
  const stacks = readFileSync(notes, 'utf8').trim().split('\n')
  const files = stacks.flatMap((stack) => (JSON.parse(stack) as string[]).toReversed())
  return [...new Set(files)].filter((file) => file !== 'src/server/http/app.ts') // it runs the whole turn
}

function both(one: Called, other: Called): Called {
  const files = new Set([...Object.keys(one), ...Object.keys(other)])
  return Object.fromEntries(
    Array.from(files, (file) => [file, [...(one[file] ?? []), ...(other[file] ?? [])]])
  )
}

/** What runs while a client waits and nothing comes: sweeps, life signs, and what still awaits something. */
async function stillLife(take: () => Promise<Called>, key: string): Promise<Called> {
  let called: Called | undefined
  const onText = async () => {
    if (called !== undefined) return
    await delay(SettledMs) // its own beginning is told by then, which each request does
    await take()
    await delay(SilenceMs)
    called = await take()
  }
  await stream(`sim:events=2 sim:gap=${2 * SilenceMs}`, { key, onText })
  return called ?? {}
}

interface Streaming {
  readonly key: string
  /** Sees each piece of the answer before the next is read. */
  readonly onText?: (text: string) => Promise<void>
}

/** Sends one request and resolves at the end of its answer. */
async function stream(prompt: string, { key, onText }: Streaming): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const headers = {
    'content-type': 'application/json',
    'anthropic-version': '2023-06-01',
    'x-api-key': key
  }
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
  const files = Object.keys(called)
  const rooms = new Set(files.map((file) => file.slice(0, Math.max(0, file.indexOf('/')))))
  process.stdout.write(
    `${title}: ${files.length} files, ${functions} functions, ${rooms.size} rooms\n`
  )
  for (const [file, names] of Object.entries(called).toSorted(([a], [b]) => a.localeCompare(b)))
    process.stdout.write(`  ${file}: ${names.join(' ')}\n`)
}
