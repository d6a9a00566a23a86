import type { AcquireOptions } from '../admission/lease-options.ts'
import { monotonicNow } from '../admission/monotonic-clock.ts'
import type { Permit } from '../admission/permit.ts'
import type { WaitClock } from '../admission/wait-clock.ts'
import type { DataPlane } from './data-plane.ts'
import type { Phases } from './phases.ts'

/** Who waits for a connection, and what keeps count of it. */
export interface PermitWait {
  /** Who waits, and since when, for a fair share of the connections. */
  readonly waiter: AcquireOptions
  /** All waits of the request so far. */
  readonly waited: WaitClock
  readonly phases: Phases
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal
}

/** HTTP_POOL_TIMEOUT bounds all waits of a request together: each may last only for what those before it left. */
export async function acquirePermit(
  plane: Pick<DataPlane, 'lease' | 'metrics'>,
  { waiter, waited, phases, signal }: PermitWait
): Promise<Permit> {
  const startedAt = monotonicNow()
  try {
    return await plane.lease.acquire({ ...waiter, arrivedAt: waited.resume(startedAt) }, signal)
  } finally {
    const now = monotonicNow()
    waited.stop(now)
    phases.end('queue')
    plane.metrics.waitSeconds.observe((now - startedAt) / 1000)
  }
}
