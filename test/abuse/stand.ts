import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import { Subprocess } from '../helper/subprocess.ts'
import { GatewayProcess, type LogLine } from '../helper/gateway-process.ts'
import type { BystanderFigures, BystanderQuestion } from './bystanders.ts'
import type { SimulatorFacts, SimulatorQuestion } from './marked-simulator.ts'
import type { MemoryFacts, MemoryQuestion } from './memory-watch.ts'
import type { AbuseFindings, AbuseRow } from './row.ts'
import { createSmallBox, standBack, type SmallBox } from './small-box.ts'

/** Key of the one who attacks; `OtherKey` is everybody else's. */
export const AttackerKey = 'attacker-0123456789abcdef'
export const OtherKey = 'bystander-0123456789abcdef'
/** Streams of others that run all the while. */
const Streams = 20
const IdleMs = 3000
/** What an attack leaves behind shows itself within that time. */
const AftermathMs = 1500

/** What a row attacks. */
export interface AbuseStand {
  /** Base URL of the gateway. */
  readonly url: string
  readonly host: string
  readonly port: number
  /** Key of the attacker; the bystanders have another. */
  readonly key: string
  readonly simulatorUrl: string
  readonly gateway: GatewayProcess
  /** Says on stderr what is going on. */
  progress(text: string): void
}

/** One row against a gateway of its own, which stands in the container's limits where they can be had. */
export async function runRow(
  row: AbuseRow,
  progress: (text: string) => void
): Promise<AbuseFindings> {
  const simulator = await startSimulator('start-split')
  const box = createSmallBox()
  const bystanders = new Subprocess<BystanderQuestion, BystanderFigures>(
    new URL('./bystanders.ts', import.meta.url)
  )
  const memory = new Subprocess<MemoryQuestion, MemoryFacts>(
    new URL('./memory-watch.ts', import.meta.url)
  )
  const ahead = [simulator.pid, bystanders.pid, memory.pid]
  const reunite = standBack(ahead.filter((pid) => pid !== undefined))
  progress(`${row.name}: ${row.what} (${box.name})`)
  const prepared = await row.prepare?.()
  const failures = new Map<string, number>()
  const gateway = new GatewayProcess({
    upstreamUrl: simulator.url.replace('127.0.0.1', row.upstreamHost ?? '127.0.0.1'),
    launcher: box.launcher,
    env: {
      MEMORY_LIMIT: '512M',
      WORKERS: '2',
      PROXY_API_KEY: `${AttackerKey},${OtherKey}`,
      ...row.settings,
      ...prepared?.settings
    },
    keeps(line) {
      count(line, failures)
      return isTelling(line)
    }
  })
  try {
    await gateway.ready()
    const { pid } = gateway.child
    if (pid !== undefined) {
      box.watch(pid)
      await memory.ask({ type: 'begin', pid })
    }
    const found = await attack({ row, gateway, box, bystanders, memory, simulator, progress })
    if (found.hasFailed) {
      for (const [code, times] of failures) progress(`${row.name}: in the log ${times} × ${code}`)
    }
    return found
  } finally {
    await Promise.all([bystanders.close(), memory.close()])
    await gateway.destroy()
    await simulator.close()
    prepared?.close()
    await reunite()
    await box.close()
  }
}

interface Attack {
  readonly row: AbuseRow
  readonly gateway: GatewayProcess
  readonly box: SmallBox
  readonly bystanders: Subprocess<BystanderQuestion, BystanderFigures>
  readonly memory: Subprocess<MemoryQuestion, MemoryFacts>
  readonly simulator: Simulator
  readonly progress: (text: string) => void
}

async function attack(options: Attack): Promise<AbuseFindings> {
  const { row, gateway, box, bystanders, memory, simulator, progress } = options
  const simulatorUrl = simulator.url
  const { url } = gateway
  const begin = { type: 'begin', url, key: OtherKey, streams: Streams } as const
  await bystanders.ask(begin)
  await delay(IdleMs)
  const idle = await bystanders.ask({ type: 'end' })
  await bystanders.ask(begin)
  await delay(500) // all streams run
  const startedAt = performance.now()
  const { hostname: host, port } = new URL(url)
  const stand = { url, host, port: Number(port), key: AttackerKey, simulatorUrl, gateway, progress }
  let seen: string
  let hasFailed = false
  try {
    seen = await row.attack(stand)
  } catch (error) {
    seen = inspect(error) // with its causes
    hasFailed = true
  }
  const seconds = (performance.now() - startedAt) / 1000
  await delay(AftermathMs)
  const during = await bystanders.ask({ type: 'end' })
  const { peakPssMb } = await memory.ask({ type: 'end' })
  progress(`${row.name}: slowest small request ${during.slowest}`)
  for (const problem of during.problems) progress(`${row.name}: ${problem}`)
  return {
    row,
    seen,
    hasFailed,
    deaths: gateway.lines.filter((line) => line['msg'] === 'worker died').length,
    outOfMemoryKills: box.kills(),
    idle,
    during,
    mixed: [...during.mixed, ...idle.mixed, ...(await simulator.mixed())],
    memoryMb: box.peakMb(),
    peakPssMb,
    seconds
  }
}

/** Counts requests that were not answered whole, by their code, and other warnings by their message. */
function count({ level, code, detail, msg }: LogLine, failures: Map<string, number>): void {
  const isWarning = level === 'warn' || level === 'error'
  if (code === undefined && !isWarning) return
  const name = [code ?? msg, detail === 'unread' ? 'unread' : ''].join(' ').trim()
  failures.set(name, (failures.get(name) ?? 0) + 1)
}

/** All but the lines of single requests: an attack makes too many. */
function isTelling({ msg, level }: LogLine): boolean {
  return (
    msg === 'gateway ready' ||
    msg === 'worker died' ||
    msg === 'worker changed state' ||
    level === 'error'
  )
}

export interface Simulator {
  readonly url: string
  readonly pid: number | undefined
  /** What it was asked that had words of others than its client. */
  mixed(): Promise<readonly string[]>
  close(): Promise<void>
}

export async function startSimulator(
  how: Exclude<SimulatorQuestion, 'mixed'> = 'start'
): Promise<Simulator> {
  const service = new Subprocess<SimulatorQuestion, SimulatorFacts>(
    new URL('./marked-simulator.ts', import.meta.url)
  )
  const { url } = await service.ask(how)
  return {
    url,
    pid: service.pid,
    mixed: async () => (await service.ask('mixed')).mixed,
    close: () => service.close()
  }
}
