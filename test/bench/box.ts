import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createSmallBox, standBack } from '../abuse/small-box.ts'
import { startSimulator } from '../abuse/stand.ts'
import { GatewayProcess } from '../helper/gateway-process.ts'
import type { ProberFigures, ProberQuestion } from './box-prober.ts'
import { BoxLoads, type BoxTarget } from './box-loads.ts'
import { MemoryGroup } from './memory-group.ts'
import { Subprocess } from '../helper/subprocess.ts'
import { progress } from './stand.ts'
import { quantile } from './statistics.ts'

/**
 * `npm run box -- [--seconds 10] [--load NAME]... [--together] [--program PATH] [--env NAME=VALUE]`: a gateway in 512 MB and 2 CPUs, every load by itself and then all at once, with
 * small requests of another client beside them. Exits with 1 if a process was killed or started again, if heaps and buffers took
 * 80 % of the memory, or if the first byte of a small request came later than it may. See docs/lab/memory.md.
 */

const LimitMb = 512
const MostAnonymousMb = 0.8 * LimitMb
const MostAddedMs = 250
const SampleMs = 100
const RestMs = 3000
const HeavyKey = 'heavy-0123456789abcdef'
const SmallText = 'sim:say="Here it is." sim:gap=0'
const SmallKey = 'small-0123456789abcdef'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    load: { type: 'string', multiple: true, default: [] },
    env: { type: 'string', multiple: true, default: [] },
    together: { type: 'boolean', default: false }, // only all at once
    program: { type: 'string' } // the src/start.js of a package or an image, instead of this project's source
  }
})
const chosen = BoxLoads.filter(
  ({ name }) => values.load.length === 0 || values.load.some((part) => name.includes(part))
)
const all = { name: 'all at once', loads: chosen }
const plays = [
  { name: 'small requests alone', loads: [] },
  ...(values.together ? [] : chosen.map((load) => ({ name: load.name, loads: [load] }))),
  all
]

const simulator = await startSimulator()
const prober = new Subprocess<ProberQuestion, ProberFigures>(
  new URL('./box-prober.ts', import.meta.url)
)
const box = createSmallBox()
const reunite = standBack([simulator.pid, prober.pid].filter((pid) => pid !== undefined))
const gateway = new GatewayProcess({
  isMeasured: true,
  upstreamUrl: simulator.url,
  launcher: box.launcher,
  ...(values.program !== undefined && { program: values.program }),
  env: {
    MEMORY_LIMIT: `${LimitMb}M`,
    WORKERS: '2',
    PROXY_API_KEY: `${HeavyKey},${SmallKey}`,
    ...Object.fromEntries(
      values.env.map((pair) => [pair.split('=')[0], pair.split('=').slice(1).join('=')])
    )
  },
  keeps: ({ msg }) => ['gateway ready', 'worker died', 'worker changed state'].includes(String(msg))
})
try {
  await gateway.ready()
  process.exitCode = (await playAll()) ? 0 : 1
} finally {
  await prober.close()
  await gateway.destroy()
  await simulator.close()
  await reunite()
  await box.close()
}

async function playAll(): Promise<boolean> {
  say(`In ${box.name}; ${swapText()}.`)
  if (box.launcher.length === 0) {
    say(
      'This user may not make a memory cgroup here: nothing limits the gateway. Run it as root, or in a container of 512 MB.'
    )
    return false
  }
  const group = MemoryGroup.of(gateway.child.pid ?? 0)
  const target = { url: gateway.url, key: HeavyKey }
  say('first byte of a small request: p50 and p99 at the gateway, at its upstream, requests')
  let isFine = true
  for (const play of plays) {
    const seconds = Number(values.seconds) * (play === all ? 3 : 1)
    progress(play.name)
    const { anonymousMb, figures } = await under(play.loads, { target, group, seconds })
    const [ours, theirs] = [figures.gateway, figures.upstream].map((ms) => [
      quantile(ms, 0.5),
      quantile(ms, 0.99)
    ])
    const addedMs = (ours?.[1] ?? Number.NaN) - (theirs?.[1] ?? 0)
    const problems = problemsIn(figures, anonymousMb, addedMs)
    isFine &&= problems.length === 0
    const times = [ours, theirs].map((pair) => pair?.map((ms) => ms.toFixed(0)).join(' / '))
    const memory = `${anonymousMb.toFixed(0)} MB`.padStart(8)
    say(`${play.name.padEnd(32)}${memory}   ${times.join(' ms   ')} ms   ${figures.gateway.length}`)
    for (const problem of problems) say(`  ${problem}`)
  }
  const deaths = gateway.lines.filter(({ msg }) => msg === 'worker died').length
  say(`killed for want of memory: ${group.kills()}; workers that died: ${deaths}`)
  return isFine && group.kills() === 0 && deaths === 0
}

interface Under {
  readonly target: BoxTarget
  readonly group: MemoryGroup
  readonly seconds: number
}

async function under(loads: typeof BoxLoads, { target, group, seconds }: Under) {
  const over = new AbortController()
  const running = Promise.all(loads.map((load) => load.run(target, over.signal)))
  await prober.ask({ type: 'begin', gateway: smallRequest(), upstream: sameUpstream() })
  const until = performance.now() + seconds * 1000
  let anonymousMb = 0
  while (performance.now() < until) {
    anonymousMb = Math.max(anonymousMb, group.anonymousMb())
    await delay(SampleMs)
  }
  const figures = await prober.ask({ type: 'end' })
  over.abort()
  await running
  await delay(RestMs)
  return { anonymousMb, figures }
}

function problemsIn(
  figures: ProberFigures,
  anonymousMb: number,
  addedMs: number
): readonly string[] {
  const unlike = new Set(figures.problems)
  return [
    ...[...unlike].map((text) => `a small request failed: ${text}`),
    ...(anonymousMb < MostAnonymousMb
      ? []
      : [`more than ${MostAnonymousMb} MB are heaps and buffers`]),
    ...(addedMs < MostAddedMs
      ? []
      : [`the first byte of one in a hundred comes more than ${MostAddedMs} ms later`])
  ]
}

function smallRequest() {
  const messages = [{ role: 'user', content: SmallText }]
  return {
    url: `${gateway.url}/v1/chat/completions`,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${SmallKey}` },
    body: JSON.stringify({ model: 'claude-haiku-4.5', stream: true, messages })
  }
}

/** What the gateway makes of it. */
function sameUpstream() {
  const userInputMessage = {
    content: SmallText,
    modelId: 'claude-haiku-4.5',
    origin: 'AI_EDITOR'
  }
  const conversationState = {
    chatTriggerType: 'MANUAL',
    conversationId: '00000000-0000-4000-8000-000000000000',
    currentMessage: { userInputMessage }
  }
  const profileArn = 'arn:aws:codewhisperer:us-east-1:123456789012:profile/TEST'
  return {
    url: `${simulator.url}/generateAssistantResponse`,
    headers: { 'content-type': 'application/json', authorization: 'Bearer test-access-token' },
    body: JSON.stringify({ conversationState, profileArn })
  }
}

function swapText(): string {
  const swaps = readFileSync('/proc/swaps', 'utf8').trim().split('\n').slice(1)
  return swaps.length === 0
    ? 'there is no swap'
    : 'THERE IS SWAP, which hides a want of memory: turn it off'
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
