import type { PlannedFault } from './plan.ts'

/** A world: its seed, its length, and what of it takes part. Everything in it follows from this. */
export interface Recipe {
  readonly seed: number
  /** Virtual hours of load. */
  readonly hours: number
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
export function argumentsOf({ seed, hours, agents, faults, expected }: Recipe): readonly string[] {
  const args = ['--seed', String(seed), '--hours', String(hours)]
  if (agents !== null) args.push('--agents', listText(agents))
  if (faults !== null) args.push('--faults', listText(faults))
  if (expected !== null) args.push('--expected', String(expected))
  return args
}

function listText(numbers: readonly number[]): string {
  return numbers.length === 0 ? 'none' : numbers.join(',')
}

/** Reads `3,9`, or `none`. */
export function numbersIn(text: string | undefined): readonly number[] | null {
  if (text === undefined) return null
  return text === 'none' ? [] : text.split(',').map(Number)
}
