import { mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Simulator } from '../strict-simulator/simulator.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import type { Client, Way } from './client.ts'
import { installClient } from './install-client.ts'
import { RecordedSession } from './recorded-session.ts'
import type { Finding, Result } from './results-table.ts'
import type { Trial } from './trial.ts'
import { QUOTA, THINKING_GPT, THINKING_MODEL } from './upstream-trials.ts'
import { USUAL_TRIALS } from './usual-trials.ts'

const KEY = 'a-key-of-the-gateway'
const MODEL = 'claude-haiku-4.5'
const GATEWAY_ENVIRONMENT = {
  WORKERS: '2',
  PROXY_API_KEY: KEY,
  /** Names that only exist at OpenAI: they change what Codex and Cline send. */
  MODEL_ALIASES: `gpt-5.5=${MODEL},gpt-5.6-sol=${MODEL},${THINKING_GPT}=${THINKING_MODEL}`
}
/** Packages stay here between runs; homes and logs are made anew. */
const ROOT = join(tmpdir(), 'kiro-gateway-clients')

export interface RunClientsOptions {
  readonly clients: readonly Client[]
  /** How many clients are tried at once. */
  readonly jobs: number
  /** Logs of what went well are kept as well. */
  readonly keepLogs: boolean
  readonly signal: AbortSignal
  readonly onProgress: (line: string) => void
}

/** Installs and tries each client against a gateway and a simulator of its own. */
export async function runClients(options: RunClientsOptions): Promise<readonly Result[]> {
  const results = new Map<Client, readonly Result[]>()
  const queue = [...options.clients]
  const lanes = Array.from({ length: options.jobs }, async () => {
    for (let client = queue.shift(); client !== undefined; client = queue.shift()) {
      if (!options.signal.aborted) results.set(client, await runClient(client, options))
    }
  })
  await Promise.all(lanes)
  return options.clients.flatMap((client) => results.get(client) ?? [])
}

async function runClient(client: Client, options: RunClientsOptions): Promise<readonly Result[]> {
  const { onProgress } = options
  const results: Result[] = []
  let installed: string
  try {
    installed = await installClient(client, join(ROOT, 'packages'))
  } catch (error) {
    onProgress(`${client.id}: ${String(error)}`)
    return client.ways.map((way) => toResult(client, way, [notInstalled(String(error))]))
  }
  const simulator = new Simulator()
  const { url: upstreamUrl } = await simulator.start()
  const env = { ...GATEWAY_ENVIRONMENT, KIRO_AUTH_URL: upstreamUrl }
  const gateway = await startGateway({ upstreamUrl, env })
  try {
    for (const [index, way] of client.ways.entries()) {
      const folder = join(ROOT, 'runs', `${client.id}-${index + 1}`)
      rmSync(folder, { recursive: true, force: true })
      const findings = await runWay({ client, way, installed, gateway, simulator, folder }, options)
      results.push(toResult(client, way, findings))
    }
  } finally {
    await gateway.stop()
    await simulator.close()
  }
  return results
}

interface Setting {
  readonly client: Client
  readonly way: Way
  readonly installed: string
  readonly gateway: GatewayProcess
  readonly simulator: Simulator
  readonly folder: string
}

async function runWay(setting: Setting, options: RunClientsOptions): Promise<readonly Finding[]> {
  const { client, way, installed, gateway, simulator, folder } = setting
  const { signal, keepLogs, onProgress } = options
  const findings: Finding[] = []
  for (const trial of trialsOf(way)) {
    if (signal.aborted) break
    const place = {
      url: gateway.url,
      key: KEY,
      model: way.model ?? MODEL,
      installed,
      ...makeFolders(join(folder, trial.name.replaceAll(' ', '-')))
    }
    const session = new RecordedSession({ way, place, gateway, simulator, signal })
    const startedAt = performance.now()
    const problem = await session.attempt(trial)
    const seconds = (performance.now() - startedAt) / 1000
    const { noted } = session
    findings.push({ trial: trial.name, problem, seconds, ...(noted !== null && { note: noted }) })
    const log = problem === null && !keepLogs ? '' : ` (${session.writeLog()})`
    const facts = `${seconds.toFixed(1)} s, ${session.requests()} requests, ${session.upstreamCalls()} calls`
    onProgress(`${client.id} ${way.api} ${trial.name}: ${problem ?? 'ok'}, ${facts}${log}`)
  }
  return findings
}

function trialsOf(way: Way): readonly Trial[] {
  const usual = USUAL_TRIALS.filter(({ name }) => name !== 'resume' || way.resume !== undefined)
  return [...usual, ...(way.more ?? []), QUOTA]
}

function makeFolders(folder: string): { readonly home: string; readonly project: string } {
  const folders = { home: join(folder, 'home'), project: join(folder, 'project') }
  mkdirSync(join(folders.home, 'tmp'), { recursive: true })
  mkdirSync(folders.project, { recursive: true })
  return folders
}

function toResult({ name, packages }: Client, way: Way, findings: readonly Finding[]): Result {
  const api = way.note === undefined ? way.api : `${way.api} (${way.note})`
  return { client: name, version: Object.values(packages)[0] ?? '', api, findings }
}

function notInstalled(problem: string): Finding {
  return { trial: 'installation', problem, seconds: 0 }
}
