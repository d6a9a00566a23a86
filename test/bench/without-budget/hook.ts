import cluster from 'node:cluster'
import { registerHooks } from 'node:module'
import type * as RealLease from '../../../src/admission/lease.ts'
import type * as RealWay from '../../../src/server/ask/call-way.ts'
import type * as FreeWay from './acquire-permit.ts'
import type * as FreeLease from './lease.ts'

/**
 * Loaded into the processes of a gateway (`--import`): its workers get the lease and the wait for a permit from this
 * folder. The primary's ledger goes on, with nobody to lend to.
 */

/** The compiler refuses this if a real file exports what the one in its place does not: no worker would start. */
null satisfies Missing<keyof typeof RealLease, keyof typeof FreeLease>
null satisfies Missing<keyof typeof RealWay, keyof typeof FreeWay>

type Missing<Real, Free> = Exclude<Real, Free> extends never ? null : Exclude<Real, Free>

const Replaced: ReadonlyMap<string, string> = new Map(
  [
    ['../../../src/admission/lease.ts', './lease.ts'],
    ['../../../src/server/ask/call-way.ts', './acquire-permit.ts']
  ].map(([real, free]) => [href(real!), href(free!)])
)

if (cluster.isWorker) {
  registerHooks({
    resolve: (specifier, context, next) => {
      const resolved = next(specifier, context)
      const url = Replaced.get(resolved.url)
      // What stands in for a file may hand on the rest of it.
      return url === undefined || url === context.parentURL ? resolved : { ...resolved, url }
    }
  })
}

function href(path: string): string {
  return new URL(path, import.meta.url).href
}
