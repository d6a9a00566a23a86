import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Profiler } from 'node:inspector'
import { gatewayAnswer, Stand } from '../stand.ts'
import type { Target } from '../target.ts'
import type { Spent } from './profile-probe.ts'

/**
 * `npm run bench:parts`: where the CPU of an answer goes whose 100 events come at once, in a worker (one alone), the
 * translating pipe and the bare one. Samples of Node's and V8's code are given to the nearest part of the gateway that called
 * them, except for writes to sockets, HTTP, undici and garbage.
 */

const WARM_UP = 12_000
const REQUESTS = 8000
const PATIENCE_MS = 30_000
const LEAST_SHARE = 0.002

/** Parts of the gateway by the paths of their files; the first match decides. */
const PARTS: readonly (readonly [files: RegExp, part: string])[] = [
  [/^(?:frames|reply\/answer-reader|kiro\/(?:wire\/event|tokens\/text-counter))/, 'frames, events'],
  [/^dialects\/answer\/(?:part-reader|usage|text|tool)/, 'frames, events'],
  [/^(?:reply|dialects\/(?:[a-z-]+\/)?answer)/, 'text for the client'],
  [/^(?:server\/(?:http|body)|admission\/memory|shared\/own-memory)/, 'taking the request'],
  [/^server\/turn\/(?:turn|body-memory)/, 'taking the request'],
  [/^kiro\/wire/, 'asking'],
  [/^(?:transform|dialects|kiro|server\/turn\/body|shared\/json)/, 'conversion'],
  [/^(?:observe|ipc|keys|server\/worker|server\/ask\/bill)/, 'log, usage, metrics'],
  [/^(?:upstream|admission|server\/(?:ask|primary))/, 'asking']
]
/** Files of the gateway that hand on what Node does. */
const EDGES =
  /^(?:server\/(?:http\/(?:connections|unread)|body)|reply\/stream-reply|upstream\/(?:call\/exchange|connections))/
const SOCKET_WRITES = ['writev', 'writeUtf8String', 'writeLatin1String', 'writeBuffer']

const folder = mkdtempSync(join(tmpdir(), 'parts-'))
const probe = new URL('profile-probe.ts', import.meta.url)
probe.searchParams.set('folder', folder)
const env = { WORKERS: '1', NODE_OPTIONS: `--import=${probe.href}` }
const stand = new Stand({ isQuick: false })
try {
  await stand.start()
  const bytes = await stand.play({ events: 100, gapMs: 0, firstMs: 0 })
  const targets = [
    ['gateway', await stand.gateway({ env }), gatewayAnswer],
    ['translating pipe', await stand.pipe('translating', { env }), gatewayAnswer],
    ['bare pipe', await stand.pipe('bytes', { env }), { bytes }]
  ] as const
  const load = { streams: 16, conversation: 'short' } as const
  for (const [, { url }, answer] of targets)
    await stand.load({ ...load, url, answer, requests: WARM_UP })
  for (const [name, target, answer] of targets) {
    const processes = await profile(target, () =>
      stand.load({ ...load, url: target.url, answer, requests: REQUESTS })
    )
    for (const one of processes) show(name, one)
  }
} finally {
  await stand.close()
  rmSync(folder, { recursive: true, force: true })
}

/** The one that did most comes first. */
async function profile({ tree }: Target, work: () => Promise<unknown>): Promise<readonly Spent[]> {
  const pids = tree.pids()
  for (const pid of pids) process.kill(pid, 'SIGWINCH')
  await work()
  for (const pid of pids) process.kill(pid, 'SIGWINCH')
  const spent = await Promise.all(pids.map((pid) => readSoon(join(folder, String(pid)))))
  return spent.toSorted((one, two) => two.mainMs - one.mainMs)
}

async function readSoon(file: string): Promise<Spent> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return JSON.parse(readFileSync(file, 'utf8')) as Spent
    } catch (error) {
      if (performance.now() > deadline) throw error
      await delay(50)
    }
  }
}

/** Milliseconds of one request. */
function figure(ms: number): string {
  return (ms / REQUESTS).toFixed(3)
}

function show(name: string, { profile: taken, mainMs, helpersMs }: Spent): void {
  const parts = partsOf(taken)
  const sum = [...parts.values()].reduce((all, us) => all + us, 0)
  process.stdout.write(
    `${name}: ${figure(mainMs)} ms on the main thread, ${figure(helpersMs)} elsewhere\n`
  )
  for (const [part, us] of [...parts].toSorted(([, one], [, two]) => two - one)) {
    const share = us / sum
    if (share < LEAST_SHARE) continue
    const percent = `${(share * 100).toFixed(1)} %`.padStart(7)
    process.stdout.write(`  ${figure(share * mainMs)} ms ${percent}  ${part}\n`)
  }
}

/** Microseconds of samples by part, without those in which the thread had nothing to do. */
function partsOf({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Map<string, number> {
  const known = new Map(nodes.map((node) => [node.id, node]))
  const parents = new Map(
    nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const))
  )
  const parts = new Map<string, number>()
  for (const [index, id] of samples.entries()) {
    const calls: Profiler.ProfileNode['callFrame'][] = []
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const node = known.get(at)
      if (node !== undefined) calls.push(node.callFrame)
    }
    const part = partOf(calls)
    if (part !== null) parts.set(part, (parts.get(part) ?? 0) + (timeDeltas[index] ?? 0))
  }
  return parts
}

/** `null`: the thread rests, or looks at itself. Calls are innermost first. */
function partOf(calls: readonly Profiler.ProfileNode['callFrame'][]): string | null {
  const [last] = calls
  const name = last?.functionName ?? ''
  if (name === '(idle)' || last?.url === 'node:inspector') return null
  if (name === '(garbage collector)') return 'garbage'
  const isLog = calls.some(({ url }) => url.includes('/pino/'))
  if (SOCKET_WRITES.includes(name) && !isLog) return 'writing to sockets'
  const at = calls.findIndex(({ url }) => pathOf(url) !== null)
  const path = pathOf(calls[at]?.url ?? '')
  const inner = calls.slice(0, at < 0 ? undefined : at)
  if (inner.some(({ url }) => url.includes('/undici/'))) return 'undici'
  const isNode = inner.some(({ url }) => url.startsWith('node:'))
  if (isNode && (path === null || path === 'pipe' || EDGES.test(path)))
    return 'HTTP, streams, timers'
  if (path === null || path === 'pipe') return path ?? 'V8'
  return PARTS.find(([files]) => files.test(path))?.[1] ?? path
}

/** Path below `src/`; `null` for code of others. */
function pathOf(url: string): string | null {
  if (url.includes('/node_modules/')) return null
  if (url.includes('/test/bench/')) return 'pipe'
  return /\/src\/(.+)$/.exec(url)?.[1] ?? null
}
