/* Problems stay visible for a while after they have passed, so that the page does not jump and people can read them. */

/** @import { GatewayVerdict as Verdict, VerdictProblem as Problem } from '../feed.ts' */

const LINGER_MS = 5_000
/** The gateway judges anew after a change, and tells within a second. */
const PROMPT_MS = 3_000

export class SteadyVerdict {
  /** @type {Map<string, { problem: Problem, trueAt: number }>} By code. Bounded by the codes that there are. */
  #seen = new Map()
  #promptUntil = -Infinity

  /**
   * @param {Verdict} verdict
   * @param {number} at milliseconds of any clock that never goes back
   * @returns {Verdict} what to show
   */
  next(verdict, at) {
    for (const one of verdict.problems) this.#seen.set(one.code, { problem: one, trueAt: at })
    for (const [code, { trueAt }] of this.#seen) {
      const isOver = at - trueAt >= LINGER_MS || at < this.#promptUntil
      if (isOver && trueAt !== at) this.#seen.delete(code)
    }
    const passed = [...this.#seen.values()].flatMap(({ problem, trueAt }) =>
      trueAt === at ? [] : [{ ...problem, what: `A moment ago: ${problem.what}` }]
    )
    if (passed.length === 0) return verdict
    const problems = [...verdict.problems, ...passed].toSorted(
      (one, other) => rank(other) - rank(one)
    )
    const [worst] = problems
    if (worst === undefined) return verdict
    const code = problems.map((one) => one.code).join(' ')
    const { level, what, action } = worst
    return { ...verdict, level, code, sentence: what, problems, action }
  }

  /** Problems that pass soon do so at once: the reader has just done something about them. @param {number} at */
  changed(at) {
    this.#promptUntil = at + PROMPT_MS
  }

  forget() {
    this.#seen.clear()
  }
}

/** @param {Problem} problem */
function rank({ level }) {
  return level === 'red' ? 1 : 0
}
