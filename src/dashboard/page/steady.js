/* Problems stay visible for a while after they have passed, so that the page does not jump and people can read them. */

/** @typedef {import('../feed.ts').GatewayVerdict} Verdict */
/** @typedef {import('../feed.ts').VerdictProblem} Problem */

const LINGER_MS = 5_000

export class SteadyVerdict {
  /** @type {Map<string, { problem: Problem, trueAt: number }>} By code. Bounded by the codes that there are. */
  #seen = new Map()

  /**
   * @param {Verdict} verdict
   * @param {number} at milliseconds of any clock that never goes back
   * @returns {Verdict} what to show
   */
  next(verdict, at) {
    for (const one of verdict.problems) this.#seen.set(one.code, { problem: one, trueAt: at })
    for (const [code, { trueAt }] of this.#seen) {
      if (at - trueAt >= LINGER_MS) this.#seen.delete(code)
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

  forget() {
    this.#seen.clear()
  }
}

/** @param {Problem} problem */
function rank({ level }) {
  return level === 'red' ? 1 : 0
}
