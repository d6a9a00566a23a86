import type { Permit } from '../../../src/admission/lease.ts'
import type { CallWay, PermitWait } from '../../../src/server/ask/call-way.ts'
import type { DataPlane } from '../../../src/server/worker/data-plane.ts'

export { acquirePermit, CallWay } from '../../../src/server/ask/call-way.ts'

/** In place of the wait for a permit: no clock runs and nothing is observed. */
export function acquireFor(
  way: CallWay,
  { lease }: Pick<DataPlane, 'lease'>,
  { waiter, signal }: PermitWait
): Promise<Permit> {
  way.useNewest()
  return lease.acquire(waiter, signal)
}
