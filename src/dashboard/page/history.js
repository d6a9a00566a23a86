/** @typedef {import('../feed.ts').ShownHistory} Columns */

export const WINDOW_MS = 3_600_000
/** Independent of the steps that the gateway reports. */
const MAX_POINTS = 2_000

export class History {
  /** @type {number[]} Bounded by WINDOW_MS and MAX_POINTS, like the columns. */
  at = []
  /** @type {Record<string, (number | null)[]>} */
  columns = {}

  /** @param {Columns} history */
  replace(history) {
    this.at = [...history.at]
    this.columns = Object.fromEntries(
      Object.entries(history.columns).map(([name, values]) => [name, [...values]])
    )
    this.#trim()
  }

  /** @param {{ at: number, values: Readonly<Record<string, number | null>> }} point */
  add({ at, values }) {
    const last = this.at.at(-1)
    if (last !== undefined && at <= last) return
    this.at.push(at)
    for (const [name, column] of Object.entries(this.columns)) column.push(values[name] ?? null)
    this.#trim()
  }

  /**
   * @param {string} name
   * @returns {(number | null)[]} of unknown figures where the gateway has no such column
   */
  column(name) {
    const column = this.columns[name]
    return column?.length === this.at.length ? column : this.at.map(() => null)
  }

  #trim() {
    const end = this.at.at(-1) ?? 0
    let old = Math.max(0, this.at.length - MAX_POINTS)
    while (old < this.at.length && end - (this.at[old] ?? 0) > WINDOW_MS) old += 1
    if (old === 0) return
    this.at.splice(0, old)
    for (const column of Object.values(this.columns)) column.splice(0, old)
  }
}
