import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ErrorTable } from '../../src/shared/errors.ts'

/** Rows of Markdown whose first cell is a code; other tables of the page are none of our business. */
function errorRows(markdown: string): readonly (readonly string[])[] {
  return markdown
    .split('\n')
    .filter((line) => /^\|\s*`?GW_/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.replaceAll('`', '').trim())
    )
}

/** What a row must say. A code that no client sees has a word in place of its status. */
const expected = Object.entries(ErrorTable).map(([code, { status, source, retry, message }]) => {
  if (code === 'GW_CONFIG_INVALID') return [code, 'exit 78', source, retry, message]
  return [code, status === 499 ? '499 (log only)' : String(status), source, retry, message]
})

t.test('the table of docs/errors.md', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/errors.md'), 'utf8')
  t.same(errorRows(page), expected, 'is the table of src/shared/errors.ts, row by row')
})

t.test('errorRows()', async (t) => {
  const markdown =
    '| a | b |\n|---|---|\n| `GW_A` | 500 | x |\n|GW_B|499 (log only)|y|\ntext GW_C | 1 |'
  t.same(errorRows(markdown), [
    ['GW_A', '500', 'x'],
    ['GW_B', '499 (log only)', 'y']
  ])
})
