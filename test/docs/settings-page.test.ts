import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { listSettings, writeSetting } from '../../src/config/setting-text.ts'

/** Rows of Markdown whose first cell is a setting; other tables of the page are none of our business. */
function settingRows(markdown: string): readonly (readonly string[])[] {
  const [, section = ''] = markdown.split('\n## All settings\n')
  const [table = ''] = section.split('\n## ')
  return table
    .split('\n')
    .filter((line) => /^\| `[A-Z_]+` \|/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim())
    )
}

t.test('the table of docs/settings.md', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/settings.md'), 'utf8')
  const expected = listSettings().map(({ setting }) => {
    const value = writeSetting(setting, setting.default)
    return [`\`${setting.env}\``, value === '' ? 'not set' : `\`${value}\``, setting.description]
  })
  t.same(settingRows(page), expected, 'is the table of src/config/settings.ts, row by row')
})

t.test('docs/operations.md names every setting that needs a restart, and no other', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
  const [, section = ''] = page.split('\n## Reload settings\n')
  const list = section.split('\n## ')[0]?.match(/^(- |  ).*$/gm) ?? []
  const named = [...list.join('\n').matchAll(/`([A-Z_]+)`/g)].map(([, name]) => name)
  const fixed = listSettings().flatMap(({ setting }) => (setting.restart ? setting.env : []))
  t.same(new Set(named), new Set(fixed))
  t.equal(named.length, fixed.length, 'each once')
})

t.test('settingRows()', async (t) => {
  const markdown = '| `A` | x |\n## All settings\n| `A_B` | `1` | one |\nC\n## More\n| `D` | y |\n'
  t.same(settingRows(`\n${markdown}`), [['`A_B`', '`1`', 'one']])
})
