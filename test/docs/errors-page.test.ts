import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FailureTable } from '../../src/shared/failures.ts'
import { ErrorTable } from '../../src/shared/error-table.ts'

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

/** Of codes that no client sees. */
const EXITS: Readonly<Record<string, string>> = {
  GW_CONFIG_INVALID: 'exit 78',
  GW_CLIENT_FILE: 'exit 1'
}

/** What a row must say. A code that no client sees has a word in place of its status. */
const expected = Object.entries(ErrorTable).map(([code, { status, source, retry, message }]) => {
  const shown = EXITS[code] ?? (status === 499 ? '499 (log only)' : String(status))
  return [code, shown, source, retry, message]
})

t.test('the table of docs/errors.md', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/errors.md'), 'utf8')
  t.same(errorRows(page), expected, 'is the table of src/shared/errors.ts, row by row')
})

t.test('the codes of docs/errors.md for what stands in the way of answers', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/errors.md'), 'utf8')
  const [, section = ''] = /^## Why there are no answers\n(.*?)^## /ms.exec(page) ?? []
  const rows = [...section.matchAll(/^\| `([a-z-]+)` \| (.*) \|$/gm)]
  t.same(
    rows.map(([, code, what]) => [code, what]),
    Object.entries(FailureTable)
  )
})

t.test('errorRows()', async (t) => {
  const markdown =
    '| a | b |\n|---|---|\n| `GW_A` | 500 | x |\n|GW_B|499 (log only)|y|\ntext GW_C | 1 |'
  t.same(errorRows(markdown), [
    ['GW_A', '500', 'x'],
    ['GW_B', '499 (log only)', 'y']
  ])
})
