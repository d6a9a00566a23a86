import t from 'tap'
import { loadAt } from './load-curve.ts'

t.test('loadAt()', async (t) => {
  t.same(loadAt(0), { load: 'storm', leftMs: 7000 })
  t.same(loadAt(6999), { load: 'storm', leftMs: 1 })
  t.same(loadAt(7000), { load: 'half', leftMs: 8000 })
  t.same(loadAt(15_000), { load: 'lull', leftMs: 2500 })
  t.same(loadAt(17_499), { load: 'lull', leftMs: 1 })
  t.same(loadAt(17_500), { load: 'storm', leftMs: 7000 })
})
