import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Simulator } from '../strict-simulator/simulator.ts'
import { ProcessTree } from '../bench/process-tree.ts'
import { parseMetrics, type Scrape } from '../chaos/metrics-text.ts'
import { Random } from '../chaos/random.ts'
import { GatewayProcess } from '../helper/gateway-process.ts'
import { ownersIn } from '../helper/own-words.ts'
import { complaintsOf, type ProcessRecord, type Sample, unbalanced } from './judge.ts'
import type { ProcessState } from './probe.ts'
import { Starvation } from './starvation.ts'
import { Traffic } from './traffic.ts'

export interface SoakOptions {
  readonly seconds: number
  /** Who ask, one question after the other. */
  readonly people: number
  /** How many more come in a rush. */
  readonly crowd: number
  readonly seed: number
  /** Faults that are put into the gateway's processes, by their names in `leaks.ts`. */
  readonly leaks?: readonly string[]
  readonly onProgress?: (line: string) => void
  readonly signal?: AbortSignal
}

export interface SoakFindings {
  readonly requests: number
  /** Of these, what came too late because the machine had no core for it. */
  readonly starved: number
  readonly processes: readonly ProcessRecord[]
  /** What is wrong, in words. */
  readonly complaints: readonly string[]
}

const SAMPLES = 120
/** However slow the machine is. */
const LEAST_ROUNDS = 8
const LEAST_SAMPLE_MS = 1000
const MOST_SAMPLE_MS = 30_000
const RELOAD_EVERY = 10
const MOST_MIXED = 20
const THINK_MS = 400
/** How long counters may take to come to rest once nothing is asked. */
const REST_MS = 20_000

/** Lets people ask a gateway for a time, looks at its processes meanwhile, and at its counters afterwards. */
export async function runSoak(options: SoakOptions): Promise<SoakFindings> {
  const folder = mkdtempSync(join(tmpdir(), 'kiro-gateway-soak-'))
  const mixed: string[] = []
  const simulator = new Simulator({
    onBody: (text) => {
      const owners = [...ownersIn(text)]
      if (owners.length > 1 && mixed.length < MOST_MIXED) mixed.push(owners.join(', '))
    }
  })
  const { url } = await simulator.start()
  const gateway = new GatewayProcess({
    upstreamUrl: url,
    tokenLifeMs: 12 * 3_600_000,
    fromSources: (options.leaks ?? []).length > 0, // whose modules they change
    env: {
      NODE_OPTIONS: probesOf(folder, options.leaks ?? []),
      WORKERS: '2',
      MEMORY_LIMIT: '512M',
      WORKER_STALL_TIMEOUT: '120' // a machine that is busy is no reason to replace one
    },
    envFile: { LOG_LEVEL: 'info' },
    keeps: ({ msg }) =>
      msg === 'gateway ready' || msg === 'worker changed state' || msg === 'worker died'
  })
  const canary = fork(new URL('canary.ts', import.meta.url), [folder])
  try {
    await Promise.all([gateway.ready(), once(canary, 'message')])
    return await new Soak(options, { gateway, simulator, folder, canary, mixed }).run()
  } finally {
    if (canary.connected) canary.disconnect()
    await gateway.destroy()
    await simulator.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Parts {
  readonly gateway: GatewayProcess
  readonly simulator: Simulator
  readonly folder: string
  readonly canary: ChildProcess
  /** Whose words came to the upstream in one request. */
  readonly mixed: readonly string[]
}

class Soak {
  readonly #options: SoakOptions
  readonly #parts: Parts
  readonly #traffic: Traffic
  readonly #tree: ProcessTree
  readonly #starvation: Starvation
  readonly #records = new Map<number, { name: string; samples: Sample[] }>()
  readonly #startedAt = performance.now()

  constructor(options: SoakOptions, parts: Parts) {
    this.#options = options
    this.#parts = parts
    this.#tree = new ProcessTree(parts.gateway.child.pid ?? 0)
    this.#starvation = new Starvation([process.pid, ...this.#tree.pids()])
    this.#traffic = new Traffic(parts.gateway.url, {
      random: new Random(options.seed),
      thinkMs: THINK_MS,
      starvation: this.#starvation,
      lastsMs: options.seconds * 1000
    })
  }

  async run(): Promise<SoakFindings> {
    const { seconds, people, crowd, signal } = this.#options
    const over = new AbortController()
    const traffic = this.#traffic.run({ people, crowd }, over.signal)
    const pids = this.#tree.pids()
    for (const [index, pid] of pids.entries())
      this.#records.set(pid, { name: index === 0 ? 'primary' : `worker ${index}`, samples: [] })
    const everyMs = Math.min(MOST_SAMPLE_MS, Math.max(LEAST_SAMPLE_MS, (seconds * 1000) / SAMPLES))
    for (let round = 1; signal?.aborted !== true; round++) {
      if (this.#elapsedMs() > seconds * 1000 && round > LEAST_ROUNDS) break
      await delay(everyMs)
      if (pids.some((pid) => !isAlive(pid))) break
      await this.#look()
      if (round % RELOAD_EVERY === 0) this.#parts.gateway.child.kill('SIGHUP')
    }
    over.abort()
    await traffic
    this.#starvation.close()
    const processes = [...this.#records.values()]
    const complaints = [
      ...this.#deaths(pids),
      ...processes.flatMap(complaintsOf),
      ...this.#traffic.complaints(),
      ...this.#parts.mixed.map((owners) => `one request had words of ${owners}`),
      ...(await this.#unbalanced())
    ]
    const { sent, starved } = this.#traffic.counts
    return { requests: sent, starved, processes, complaints }
  }

  async #look(): Promise<void> {
    const machine = await this.#ask<Pick<ProcessState, 'stallMs'>>(this.#parts.canary.pid ?? 0)
    const machineMs = machine?.stallMs ?? 0
    for (const [pid, { samples }] of this.#records) {
      const state = await this.#ask<ProcessState>(pid)
      if (state === null) return // it is gone, or does not answer: the next look finds out
      samples.push({ ...state, ...memoryOf(pid), machineMs, atMs: this.#elapsedMs() })
    }
    this.#options.onProgress?.(this.#line())
  }

  async #ask<State>(pid: number): Promise<State | null> {
    if (!isAlive(pid)) return null
    process.kill(pid, 'SIGURG')
    return readState<State>(join(this.#parts.folder, String(pid)))
  }

  #line(): string {
    const { sent, ended, unexpected, starved } = this.#traffic.counts
    const states = [...this.#records.values()].map(({ name, samples }) => {
      const last = samples.at(-1)
      if (last === undefined) return name
      const [live, all] = [last.liveBytes, last.anonymousBytes].map((bytes) =>
        (bytes / 2 ** 20).toFixed(1)
      )
      return `${name} ${live}/${all} MB, ${last.timers} timers, ${last.sockets} sockets, ${last.requests} asked, ${last.stallMs.toFixed(0)} (${last.stallCpuMs.toFixed(0)}) ms`
    })
    const machineMs = this.#records.values().next().value?.samples.at(-1)?.machineMs ?? 0
    const minutes = (this.#elapsedMs() / 60_000).toFixed(1)
    return `${minutes} min, ${sent} sent, ${sent - ended} open, ${unexpected.length} odd, ${starved} starved, machine ${machineMs.toFixed(0)} ms | ${states.join(' | ')}`
  }

  #deaths(pids: readonly number[]): readonly string[] {
    return pids.filter((pid) => !isAlive(pid)).map((pid) => `process ${pid} has died`)
  }

  /** What is not back, and what does not add up, once everything is answered. */
  async #unbalanced(): Promise<readonly string[]> {
    const deadline = performance.now() + REST_MS
    for (;;) {
      const problems = unbalanced({
        scrape: await scrape(this.#parts.gateway.url),
        upstream: this.#parts.simulator.stats(),
        asked: this.#traffic.counts
      })
      if (problems.length === 0 || performance.now() > deadline) return problems
      await delay(250)
    }
  }

  #elapsedMs(): number {
    return performance.now() - this.#startedAt
  }
}

function probesOf(folder: string, leaks: readonly string[]): string {
  const probe = new URL(`probe.ts?to=${encodeURIComponent(folder)}`, import.meta.url)
  const leak = new URL(`leaks.ts?of=${leaks.join(',')}`, import.meta.url)
  return [probe, ...(leaks.length === 0 ? [] : [leak])]
    .map(({ href }) => `--import=${href}`)
    .join(' ')
}

async function scrape(url: string): Promise<Scrape> {
  return parseMetrics(await (await fetch(`${url}/metrics`)).text())
}

async function readState<State>(file: string): Promise<State | null> {
  for (let tries = 0; tries < 600; tries++) {
    try {
      const state: State = JSON.parse(readFileSync(file, 'utf8'))
      rmSync(file)
      return state
    } catch {
      await delay(25)
    }
  }
  return null
}

function memoryOf(pid: number): Pick<Sample, 'anonymousBytes' | 'threads'> {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const number = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0)
  return { anonymousBytes: number('RssAnon') * 1024, threads: number('Threads') }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
