import type { Permit } from '../../../src/admission/permit.ts'
import type { DataPlane } from '../../../src/server/data-plane.ts'
import type { PermitWait } from '../../../src/server/acquire-permit.ts'

/** In place of the wait for a permit: no clock runs and nothing is observed. */
export function acquirePermit(
  { lease }: Pick<DataPlane, 'lease'>,
  { waiter, signal }: PermitWait
): Promise<Permit> {
  return lease.acquire(waiter, signal)
}
