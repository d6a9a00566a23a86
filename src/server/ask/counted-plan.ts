import type { Measurement } from '../../dialects/answer/usage.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import type { Calibration } from '../primary/primary-clients.ts'

/** Returns the members of a plan that say how many tokens its request has, by what was learnt of the model. */
export function countPlan(
  calibration: Calibration,
  { upstreamModel, groups }: Pick<ReplyPlan, 'upstreamModel' | 'groups'>
): Required<Pick<ReplyPlan, 'inputTokens' | 'groups' | 'gauge'>> {
  const { input, reading } = calibration.count(upstreamModel, groups)
  return { inputTokens: input, groups, gauge: reading }
}

export function teach(
  calibration: Calibration,
  { upstreamModel: model, groups }: Pick<ReplyPlan, 'upstreamModel' | 'groups'>,
  { tokens: measured, within, answer }: Measurement
): void {
  const all = groups.map((tokens, at) => tokens + (answer[at] ?? 0))
  calibration.learn({ model, groups: all, measured, within })
}
