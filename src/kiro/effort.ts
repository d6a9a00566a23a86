/** Reasoning efforts, least first. */
export const EFFORTS = ['minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const

export type Effort = (typeof EFFORTS)[number]

/** Whether a client's word is an effort that the upstream's models know. */
export function isEffort(value: unknown): value is Effort {
  return EFFORTS.some((effort) => effort === value)
}

/** The allowed effort nearest to the wanted one, the higher of two equally near (kiro-protocol §9.2). */
export function nearestEffort(wanted: Effort, allowed: readonly Effort[]): Effort | undefined {
  const rank = EFFORTS.indexOf(wanted)
  let nearest: Effort | undefined
  let nearestDistance = Number.POSITIVE_INFINITY
  for (const effort of EFFORTS) {
    const distance = Math.abs(EFFORTS.indexOf(effort) - rank)
    if (!allowed.includes(effort) || distance > nearestDistance) continue
    nearest = effort
    nearestDistance = distance
  }
  return nearest
}
