import t from 'tap'
import { PlacedRepairs, Repairs } from '../../../src/kiro/rules/repairs.ts'

t.test('Repairs', async (t) => {
  const repairs = new Repairs()
  t.same(repairs.codes, [])
  repairs.note('turn-blank', 'messages[1]')
  repairs.note('tool-id-added')
  repairs.note('turn-blank')
  t.same(repairs.codes, ['turn-blank', 'tool-id-added'], 'each once, in the order of first use')
})

t.test('PlacedRepairs', async (t) => {
  t.test('knows every place once', async (t) => {
    const repairs = new PlacedRepairs()
    repairs.note('tool-schema-cleaned', 'tools[0].input_schema', ['a/b', 'required'])
    repairs.note('turn-blank', 'messages[1]')
    repairs.note('turn-blank', 'messages[1]')
    repairs.note('turn-blank', '/messages/2')
    repairs.note('last-turn-added')
    t.same(repairs.codes, ['tool-schema-cleaned', 'turn-blank', 'last-turn-added'])
    t.same(repairs.places, [
      { code: 'tool-schema-cleaned', pointer: '/tools/0/input_schema/a~1b/required' },
      { code: 'turn-blank', pointer: '/messages/1' },
      { code: 'turn-blank', pointer: '/messages/2' },
      { code: 'last-turn-added', pointer: '' }
    ])
  })

  t.test('stays bounded', async (t) => {
    const repairs = new PlacedRepairs()
    for (let index = 0; index < 5000; index++) repairs.note('turn-blank', `messages[${index}]`)
    t.equal(repairs.places.length, 100)
    t.same(repairs.codes, ['turn-blank'])
  })
})
