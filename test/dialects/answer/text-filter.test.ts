import t from 'tap'
import { TextFilter } from '../../../src/dialects/answer/answer-text.ts'
import { ENDLESS_ROOM } from '../../../src/dialects/answer/long-text.ts'

t.test('isOpen only without stop strings and fence', async (t) => {
  t.ok(new TextFilter({ stopSequences: [''], isJsonAnswer: false }, ENDLESS_ROOM).isOpen)
  t.notOk(new TextFilter({ stopSequences: ['a'], isJsonAnswer: false }, ENDLESS_ROOM).isOpen)
  t.notOk(new TextFilter({ stopSequences: [], isJsonAnswer: true }, ENDLESS_ROOM).isOpen)
})

t.test('finds stop strings first, then takes the fence off what is left', async (t) => {
  const filter = new TextFilter({ stopSequences: ['END'], isJsonAnswer: true }, ENDLESS_ROOM)
  t.equal(filter.push('```json\n{"a":1}\n```\nEN'), '')
  t.equal(filter.push('Dxyz'), '')
  t.equal(filter.stopSequence, 'END')
  t.equal(filter.release(), '{"a":1}')
})

t.test('releases what both of them hold, in order', async (t) => {
  const filter = new TextFilter({ stopSequences: ['END'], isJsonAnswer: true }, ENDLESS_ROOM)
  t.equal(filter.push('``E'), '')
  t.equal(filter.release(), '``E')
  t.equal(filter.stopSequence, null)
})
