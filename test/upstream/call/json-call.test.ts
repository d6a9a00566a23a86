import t from 'tap'
import { jsonObjectOf } from '../../../src/upstream/call/json-exchange.ts'

t.test('jsonObjectOf() reads objects and nothing else', (t) => {
  t.same(jsonObjectOf({ status: 200, headers: {}, text: '{"a":1}' }), { a: 1 })
  for (const text of ['', '[]', 'null', '1', '{"a":', '<html>']) {
    t.equal(jsonObjectOf({ status: 200, headers: {}, text }), null, text)
  }
  t.end()
})
