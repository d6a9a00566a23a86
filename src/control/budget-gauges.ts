import type { Metrics } from '../observe/metrics.ts'
import type { BudgetState } from './budget.ts'

/** Sets the gauges that tell who holds how much of the budget. `nameOf` names a member for people. */
export function noteBudget(
  metrics: Pick<Metrics, 'connectionBudget' | 'permitsLeased'>,
  { maxConnections, members }: BudgetState,
  nameOf: (member: string) => string
): void {
  metrics.connectionBudget.set(maxConnections ?? 0)
  metrics.permitsLeased.reset()
  for (const { member, leased } of members) {
    metrics.permitsLeased.inc({ worker: nameOf(member) }, leased ?? 0)
  }
}
