import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../../config/settings.ts'
import { parseJsonObject, textMember } from '../../shared/json.ts'
import { ownerOf, requireFreePort } from '../../shared/port-owner.ts'
import { askGateway } from '../ask-gateway.ts'
import { gatewayUrl } from '../setup/gateway.ts'
import type { InitSystem, ServiceState } from './init-system.ts'

const ASK_MS = 3_000
const LOOK_MS = 250
/** A start on a busy machine. */
const START_MS = 60_000

export interface Readiness {
  readonly isReady: boolean
  /** `ready`, or what is in the way. */
  readonly text: string
}

/** Asks the gateway of these settings how it is. `null` if no gateway answers there. */
export async function verdictOf(config: Config, signal: AbortSignal): Promise<Readiness | null> {
  if (config.server.port === 0) return null
  const gateway = { url: gatewayUrl(null, config), key: config.server.apiKeys[0] ?? null, signal }
  try {
    const reply = await askGateway(gateway, { path: '/readyz', timeoutMs: ASK_MS })
    const json = parseJsonObject(reply.text) ?? {}
    const status = textMember(json, 'status')
    if (status === null) return null
    const problems: unknown = json['problems']
    const said = Array.isArray(problems) ? problems.filter((one) => typeof one === 'string') : []
    return { isReady: reply.status === 200, text: [status, ...said].join('. ') }
  } catch {
    signal.throwIfAborted()
    return null
  }
}

/** @throws {GatewayError} GW_CONFIG_INVALID if another program than this service has the port */
export async function requirePort({ server }: Config, manager: InitSystem): Promise<void> {
  if (server.port === 0) return
  const { name, pid } = await manager.state()
  if (name === 'running') {
    const owner = await ownerOf(server.port)
    const isOwn =
      owner !== null && pid !== null && (await groupOf(owner.pid)) === (await groupOf(pid))
    if (isOwn || process.platform !== 'linux') return
  }
  await requireFreePort(server)
}

/** Control groups of a process: all of a service have the same. */
function groupOf(pid: number): Promise<string> {
  return readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')
}

export type StartOutcome =
  | { readonly name: 'serving'; readonly verdict: Readiness | null }
  | { readonly name: 'failed'; readonly state: ServiceState }
  /** Runs, but has not answered in time. */
  | { readonly name: 'silent'; readonly state: ServiceState }

/** Waits until it serves or has failed once. */
export async function waitForStart(
  manager: InitSystem,
  config: Config,
  signal: AbortSignal
): Promise<StartOutcome> {
  const deadline = performance.now() + START_MS
  for (;;) {
    const [state, verdict] = await Promise.all([manager.state(), verdictOf(config, signal)])
    const hasFailed = state.name === 'failed' || (state.restarts ?? 0) > 0
    const hasEnded = state.name === 'stopped' && state.lastExit !== null
    if (hasFailed || hasEnded) return { name: 'failed', state }
    if (state.name === 'running' && (verdict !== null || config.server.port === 0))
      return { name: 'serving', verdict }
    if (performance.now() > deadline) return { name: 'silent', state }
    await sleep(LOOK_MS, undefined, { signal })
  }
}
