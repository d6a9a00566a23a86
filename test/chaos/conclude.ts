import { setTimeout as delay } from 'node:timers/promises'
import type { BudgetChanges } from './budget-changes.ts'
import type { ChaosGateway } from './chaos-gateway.ts'
import type { ClientFacts, ClientsQuestion } from './clients.ts'
import type { Crowd, Findings } from './findings.ts'
import type { PoolView } from './gateway-probe.ts'
import { crowdOneWorker } from './one-sided.ts'
import { type PoolSize, usableOf } from './pool-size.ts'
import type { Subprocess } from '../helper/subprocess.ts'
import type { UpstreamFacts, UpstreamQuestion } from './upstream.ts'

export interface Cast {
  readonly gateway: ChaosGateway
  readonly clients: Subprocess<ClientsQuestion, ClientFacts>
  readonly upstream: Subprocess<UpstreamQuestion, UpstreamFacts>
  readonly budget: BudgetChanges
}

/** For what idles too much after the last burst, on a busy machine. */
const SETTLE_MS = 1000
/** Rest is looked at with a budget of which few may idle, and those for long. */
const FINAL_SIZE: PoolSize = { connections: 40, idle: 10, expiryS: 60, patience: 'calm' }
/** Enough for a loss that happens once in a hundred times to show. */
const LEAVERS = 400
/** More than can be served at once. */
const BURST_SIZE = FINAL_SIZE.connections * 3

export type Ending = Pick<
  Findings,
  | 'storm'
  | 'budget'
  | 'maxKeepalive'
  | 'rest'
  | 'restAfterLeavers'
  | 'closeWait'
  | 'crowd'
  | 'burstSize'
  | 'replacing'
  | 'burst'
  | 'rollingRestarts'
  | 'openAtRest'
  | 'openAfterExit'
  | 'pool'
  | 'exitCode'
  | 'upstream'
>

/**
 * After the storm: waits for rest, gives one worker as much as all can serve, replaces all workers under a burst of
 * requests, lets many leave, waits for rest again, sends another burst, ends the gateway.
 */
export async function conclude({ gateway, clients, upstream, budget }: Cast): Promise<Ending> {
  const storm = await clients.ask({ type: 'stop' })
  await upstream.ask({ type: 'calm' })
  await budget.change(gateway, FINAL_SIZE)
  const rest = await gateway.until(isAtRest)
  const crowd = await gatherCrowd(gateway, upstream)
  const [replacing] = await Promise.all([
    clients.ask({ type: 'burst', count: BURST_SIZE }),
    gateway.replaceWorkers()
  ])
  await clients.ask({ type: 'leave', count: LEAVERS })
  const restAfterLeavers = await gateway.until(isAtRest)
  const closeWait = await gateway.closeWait()
  const burst = await clients.ask({ type: 'burst', count: BURST_SIZE })
  await gateway.until(isAtRest)
  await delay(SETTLE_MS)
  const { open: openAtRest } = await upstream.ask({ type: 'peek' })
  const pool = await gateway.counts()
  const { rollingRestarts } = gateway
  const exitCode = await gateway.stop()
  await delay(100) // the last sockets' ends are on their way
  const facts = await upstream.ask({ type: 'peek' })
  return {
    storm,
    budget: FINAL_SIZE.connections,
    maxKeepalive: FINAL_SIZE.idle,
    rest,
    restAfterLeavers,
    closeWait,
    crowd,
    burstSize: BURST_SIZE,
    replacing,
    burst,
    rollingRestarts,
    openAtRest,
    openAfterExit: facts.open,
    pool,
    exitCode,
    upstream: facts
  }
}

/** One worker's clients take the whole budget. */
async function gatherCrowd(
  gateway: ChaosGateway,
  upstream: Subprocess<UpstreamQuestion, UpstreamFacts>
): Promise<Crowd> {
  const usable = usableOf(FINAL_SIZE)
  await upstream.ask({ type: 'figures' })
  const complete = await crowdOneWorker(gateway, usable)
  const { recentlyUsed: atOnce } = await upstream.ask({ type: 'figures' })
  await gateway.until(isAtRest)
  return { usable, complete, atOnce }
}

function isAtRest({ permitsOut, waiting, leased }: PoolView): boolean {
  return permitsOut === 0 && waiting === 0 && leased === FINAL_SIZE.connections
}
