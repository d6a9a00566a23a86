import * as budget from './what-happens/budget-rows.ts'
import * as failures from './what-happens/failure-rows.ts'

/**
 * `node test/chaos/what-happens.ts [row…]` measures the figures of the tables "What happens when" in docs/connections.md
 * and docs/operations.md, row by row.
 */

const Rows: Readonly<Record<string, () => Promise<string>>> = { ...budget, ...failures }
const wanted = process.argv.slice(2)
for (const [name, measure] of Object.entries(Rows)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  process.stdout.write(`${name}: ${await measure()}\n`)
}
