import t from 'tap'
import { writeEntries } from '../../../src/cli/setup/entries.ts'
import { JsonText } from '../../../src/cli/setup/text/json-text.ts'
import { type TextFormat, valueOnPath } from '../../../src/cli/setup/text/text-format.ts'
import { TomlText } from '../../../src/cli/setup/text/toml-text.ts'
import { YamlText } from '../../../src/cli/setup/text/yaml-text.ts'

const FORMATS = { JsonText, TomlText, YamlText }

t.test('writeEntries()', (t) => {
  t.test('looks at a long text once for all entries', (t) => {
    const entries = Array.from({ length: 50 }, (_, index) => ({
      path: ['provider', 'kiro', `model-${index}`],
      value: `name ${index}`
    }))
    for (const [name, format] of Object.entries(FORMATS)) {
      let reads = 0
      const read: TextFormat['read'] = (text) => {
        reads += 1
        return format.read(text)
      }
      const text = writeEntries({ ...format, read }, '', entries)
      const values = format.read(text)
      for (const { path, value } of entries) t.equal(valueOnPath(values, path), value)
      t.equal(reads, 2, name)
    }
    t.end()
  })

  t.test('says which of them cannot be written', (t) => {
    const entries = ['one', 'two', 'three'].map((name) => ({ path: ['a', name], value: 'x' }))
    t.throws(() => writeEntries(JsonText, '{"a": {"two": {"b": 1}}}', entries), {
      code: 'GW_CLIENT_FILE',
      message: 'a.two holds more than one value. Change it by hand.'
    })
    const lossy: TextFormat = {
      ...JsonText,
      set: (text, path, value) => JsonText.set(text, path, path.at(-1) === 'two' ? 'y' : value)
    }
    t.throws(() => writeEntries(lossy, '{}', entries), {
      code: 'GW_CLIENT_FILE',
      message: /^a\.two cannot be changed safely in its present form/
    })
    t.end()
  })

  t.test('writes into YAML collections of one line', (t) => {
    for (const [before, after] of [
      ['kiro: {a: 1}\nlast: 2\n', 'kiro: {a: 1, "b": x}\nlast: 2\n'],
      ['kiro: { a: 1, }\n', 'kiro: { a: 1, "b": x }\n'],
      ['kiro: {}\n', 'kiro: {"b": x}\n']
    ] as const) {
      t.equal(writeEntries(YamlText, before, [{ path: ['kiro', 'b'], value: 'x' }]), after)
    }
    const path = ['models', { member: 'name', is: 'b' }, 'model']
    const written = writeEntries(YamlText, 'models: [{name: a}]\n', [{ path, value: 'x' }])
    t.same(YamlText.read(written), { models: [{ name: 'a' }, { name: 'b', model: 'x' }] })
    t.end()
  })

  t.end()
})
