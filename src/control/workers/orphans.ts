import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../../config/settings.ts'
import type { Logger } from '../../observe/logger.ts'
import { readSocketTables, socketsIn } from '../../shared/socket-table.ts'
import { addressOf, proxyOf } from '../../upstream/proxy/proxy.ts'
import type { Budget } from '../budget/budget.ts'
import type { WorkerChannel } from './worker-channel.ts'

export interface OrphanOptions {
  readonly ports: ReadonlySet<number>
  readonly onRemaining?: (sockets: number) => void
  /** The kernel's TCP tables; `null` if unreadable. */
  readonly readTables?: () => Promise<string | null>
  readonly delay?: (ms: number) => Promise<unknown>
}

/** Frees the permits of a dead worker once the upstream has let go of its connections. Never rejects. */
export async function freePermits(
  { id, pid, member }: Pick<WorkerChannel, 'id' | 'pid' | 'member'>,
  {
    config,
    budget,
    log
  }: {
    readonly config: Pick<Config, 'upstream' | 'proxy'>
    readonly budget: Pick<Budget, 'record'>
    readonly log: Pick<Logger, 'warn'>
  }
): Promise<void> {
  const news = await orphansGone({
    ports: portsOf(config),
    onRemaining: (sockets) => budget.record({ type: 'remains', member, sockets })
  })
  if (news === 'still there') {
    const facts = { workerId: id, workerPid: pid }
    log.warn(facts, 'upstream still holds connections of a dead worker')
  }
  budget.record({ type: 'left', member })
}

/** A reset socket leaves the table before its peer hears of it. */
const NOTICE_MS = 150
const LOOK_MS = 50
const LATER = 1 / 10
/** Linux forgets a connection after one minute without an answer to a FIN, or two if the FIN does not arrive. */
const PATIENCE_MS = 150_000
/** FIN-WAIT-1, FIN-WAIT-2, LAST-ACK, CLOSING: closed by the kernel for a dead process. */
const LEAVING: ReadonlySet<string> = new Set(['04', '05', '09', '0B'])

/** Waits until a dead process has no connection to these ports; other programs' closing ones may prolong it. */
export async function orphansGone({
  ports,
  onRemaining,
  readTables = readSocketTables,
  delay = (ms) => sleep(ms, undefined, { ref: false })
}: OrphanOptions): Promise<'gone' | 'still there' | 'unknown'> {
  await delay(NOTICE_MS)
  for (let waitedMs = NOTICE_MS; waitedMs < PATIENCE_MS; ) {
    const tables = await readTables()
    if (tables === null) return 'unknown'
    const left = countOrphans(tables, ports)
    if (left === 0) return 'gone'
    onRemaining?.(left)
    const pauseMs = Math.max(LOOK_MS, waitedMs * LATER)
    await delay(pauseMs)
    waitedMs += pauseMs
  }
  return 'still there'
}

/** Counts the connections to these ports that no process has open and whose peer has not let go. */
export function countOrphans(tables: string, ports: ReadonlySet<number>): number {
  const sockets = [...socketsIn(tables, 'orphaned')]
  return sockets.filter(({ remotePort, state }) => ports.has(remotePort) && LEAVING.has(state))
    .length
}

export function portsOf({ upstream, proxy: settings }: Pick<Config, 'upstream' | 'proxy'>) {
  const { apiUrl, managementUrl, authUrl, oidcUrl } = upstream
  const hosts = [apiUrl, managementUrl ?? apiUrl, authUrl, oidcUrl]
  const ports = hosts.map((url) => addressOf(new URL(url ?? 'https://any.host')).port)
  const proxy = proxyOf(settings)
  return new Set(proxy === null ? ports : [...ports, proxy.port])
}
