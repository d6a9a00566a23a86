import type { PlannedFault } from './plan.ts'

/** An even load as drawn, days of a team with nights and weekends, or more questions than connections and much that goes wrong. */
export type Load = 'even' | 'days' | 'busy'

/** A world: its seed, its length, and what of it takes part. Everything in it follows from this. */
export interface Recipe {
  readonly seed: number
  /** Virtual hours of load. */
  readonly hours: number
  readonly load: Load
  /** Numbers of the agents that take part; `null` for all. */
  readonly agents: readonly number[] | null
  /** Numbers of the faults that happen; `null` for all. */
  readonly faults: readonly number[] | null
  /** Connections that the upstream expects at most; `null` for as many as are configured. */
  readonly expected: number | null
}

/** Says whether something with a number takes part. */
export function takesPart(chosen: readonly number[] | null, number: number): boolean {
  return chosen === null || chosen.includes(number)
}

export function happening(
  plan: readonly PlannedFault[],
  { faults }: Pick<Recipe, 'faults'>
): readonly PlannedFault[] {
  return plan.filter(({ number }) => takesPart(faults, number))
}

/** Returns the arguments of `npm run simulate --` that make this world again. */
export function argumentsOf(recipe: Recipe): readonly string[] {
  const { seed, hours, load, agents, faults, expected } = recipe
  const length = load === 'days' ? ['--days', daysText(hours)] : ['--hours', String(hours)]
  const args = ['--seed', String(seed), ...length]
  if (load === 'busy') args.push('--busy')
  if (agents !== null) args.push('--agents', listText(agents))
  if (faults !== null) args.push('--faults', listText(faults))
  if (expected !== null) args.push('--expected', String(expected))
  return args
}

function daysText(hours: number): string {
  return String(Number((hours / 24).toFixed(7)))
}

/** Virtual hours of so many days, such that `argumentsOf()` says the same again. */
export function hoursOfDays(days: number): number {
  return Number((days * 24).toFixed(4))
}

function listText(numbers: readonly number[]): string {
  return numbers.length === 0 ? 'none' : numbers.join(',')
}

/** Reads `3,9`, or `none`. */
export function numbersIn(text: string | undefined): readonly number[] | null {
  if (text === undefined) return null
  return text === 'none' ? [] : text.split(',').map(Number)
}
