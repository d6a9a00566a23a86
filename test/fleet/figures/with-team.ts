import { FleetTeam, type FleetTeamOptions } from '../../helper/fleet-team.ts'

/** Measures with a fleet that serves, and ends it. */
export async function withTeam(
  options: Partial<FleetTeamOptions>,
  measure: (team: FleetTeam) => Promise<void>
): Promise<void> {
  const ends: (() => unknown)[] = []
  try {
    const t = { teardown: (end: () => unknown) => void ends.unshift(end) }
    const team = await FleetTeam.start(t, { names: ['a', 'b', 'c'], max: 60, ...options })
    await team.allServe()
    await measure(team)
  } finally {
    for (const end of ends) await end()
  }
}

/** Of so many samples, in milliseconds. */
export function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`
}
