import type { Recipe } from './reproduce.ts'

/** What became of a world. */
export interface Verdict {
  /** First line of what was violated; `null` if everything held. */
  readonly violation: string | null
  /** Virtual ms since the clients began at which it was violated. */
  readonly at: number
  /** Agents and faults that took part until then, by number. */
  readonly agents: readonly number[]
  readonly faults: readonly number[]
}

export interface ShrinkOptions {
  /** Lives through a world; `null` if there is no time left for it. */
  readonly run: (recipe: Recipe) => Promise<Verdict | null>
  readonly onSmaller: (recipe: Recipe) => void
}

/** Hours are rounded up to this, so that they can be read. */
const HOURS_STEP = 0.0005
const HOUR_MS = 3_600_000

/**
 * Looks for a smaller world that fails in the same way: a shorter one, with fewer faults and fewer agents. What is left
 * out in vain is put back. Returns the smallest that was found when nothing more can be left out or time is over.
 */
export async function shrink(
  recipe: Recipe,
  verdict: Verdict,
  { run, onSmaller }: ShrinkOptions
): Promise<Recipe> {
  const kind = kindOf(verdict)
  let best = withWhat(recipe, verdict)
  let known = verdict
  let isOver = false
  const fails = async (smaller: Recipe): Promise<boolean> => {
    const found = await run(smaller)
    isOver ||= found === null
    if (found === null || kindOf(found) !== kind) return false
    best = withWhat(smaller, found)
    known = found
    onSmaller(best)
    return true
  }
  // All of one kind at once, then halves, quarters and so on: most of it has nothing to do with the failure.
  for (const part of ['faults', 'agents', 'faults'] as const) {
    for (let size = known[part].length; size >= 1 && !isOver; size = Math.floor(size / 2)) {
      for (let from = 0; from < known[part].length && !isOver; ) {
        const left = known[part].toSpliced(from, size)
        if (left.length === 0 && part === 'agents') break
        if (!(await fails({ ...best, [part]: left }))) from += size
      }
    }
  }
  return best
}

/** Only what took part, and no longer than until it failed; the load of a world that failed later is kept. */
function withWhat(recipe: Recipe, { at, agents, faults }: Verdict): Recipe {
  const hours = Math.ceil(at / HOUR_MS / HOURS_STEP) * HOURS_STEP
  return { ...recipe, hours: Math.min(recipe.hours, Number(hours.toFixed(4))), agents, faults }
}

/** Violations of one kind differ in numbers and in what follows the first line. */
function kindOf({ violation }: Verdict): string | null {
  return violation?.replaceAll(/\d+(\.\d+)?/g, 'N').replaceAll(/\[[^\]]*\]/g, '') ?? null
}
