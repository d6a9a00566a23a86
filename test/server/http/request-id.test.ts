import t from 'tap'
import { requestIdOf } from '../../../src/server/http/auth.ts'

t.test('requestIdOf()', async (t) => {
  for (const good of ['a', 'req_1', 'A.b-c:d_9', 'x'.repeat(128)]) t.equal(requestIdOf(good), good)
  const made = new Set<string>()
  for (const bad of [
    undefined,
    '',
    'x'.repeat(129),
    'a b',
    'a\nb',
    'a"b',
    'é',
    '{}',
    ['a'],
    ['a', 'b']
  ]) {
    const id = requestIdOf(bad)
    t.match(id, /^req_[0-9a-f]{32}$/)
    made.add(id)
  }
  t.equal(made.size, 10, 'each of its own')
})
