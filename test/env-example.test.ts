import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'dotenv'
import t from 'tap'
import { loadConfig } from '../src/config/load.ts'
import { describeAllowed, listSettings, readSetting } from '../src/config/setting-text.ts'

const example = readFileSync(join(import.meta.dirname, '../.env.example'), 'utf8')
/** A setting may stand there as a comment, so that a copy of the file changes nothing. */
const uncommented = example.replace(/^#(?=[A-Z][A-Z0-9_]*=)/gm, '')

t.test('.env.example', (t) => {
  t.test('has every setting once, in the order of settings.ts, and nothing else', async (t) => {
    const names = [...uncommented.matchAll(/^([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name)
    t.same(
      names,
      listSettings().map(({ setting }) => setting.env)
    )
  })

  t.test('shows every default', async (t) => {
    const values = parse(uncommented)
    for (const { setting } of listSettings()) {
      const text = values[setting.env]
      const value = text === '' ? undefined : readSetting(setting, text ?? '')
      const isLeftOut = setting.default === null && setting.nullWord === undefined
      const isEmpty =
        isLeftOut || JSON.stringify(setting.default) === '[]' || setting.kind === 'pairs'
      t.same(value, isEmpty ? undefined : setting.default, setting.env)
    }
  })

  t.test('says what each setting means and what is allowed', async (t) => {
    for (const { setting } of listSettings()) {
      const block = `\n# ${setting.description}\n# Allowed: ${describeAllowed(setting)}.\n`
      const [before = ''] = uncommented.split(`\n${setting.env}=`)
      t.ok(`${before}\n`.endsWith(block), setting.env)
    }
  })

  t.test('is a valid .env that changes nothing', async (t) => {
    for (const text of [example, uncommented])
      t.same(loadConfig(parse(text), []), loadConfig({}, []))
  })
  t.end()
})
