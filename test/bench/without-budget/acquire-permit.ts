import type { Permit } from '../../../src/admission/lease.ts'
import type { PermitWait } from '../../../src/server/ask/ask-upstream.ts'
import type { DataPlane } from '../../../src/server/plane/data-plane.ts'

/** In place of the wait for a permit: no clock runs and nothing is observed. */
export function acquirePermit(
  { lease }: Pick<DataPlane, 'lease'>,
  { waiter, signal }: PermitWait
): Promise<Permit> {
  return lease.acquire(waiter, signal)
}
