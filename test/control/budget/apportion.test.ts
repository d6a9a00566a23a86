import t from 'tap'
import { apportion, shareAt } from '../../../src/control/budget/ledger-entry.ts'
import { array, assert, nat, property } from '../../helper/fast-check.ts'

t.test('apportion() divides exactly and in proportion', (t) => {
  t.same(apportion(10, [1, 1, 1]), [4, 3, 3])
  t.same(apportion(5, [0, 0]), [0, 0])
  t.same(apportion(0, [3, 4]), [0, 0])
  assert(
    property(
      nat(2 ** 24),
      array(nat(2 ** 24), { minLength: 1, maxLength: 6 }),
      (total, weights) => {
        const sum = weights.reduce((a, b) => a + b, 0)
        const parts = apportion(total, weights)
        if (sum === 0) return
        if (parts.reduce((a, b) => a + b, 0) !== total)
          throw new Error(`${parts.join()} of ${total}`)
        for (const [index, part] of parts.entries())
          if (Math.abs(part - (total * (weights[index] ?? 0)) / sum) >= 1) throw new Error('unfair')
      }
    )
  )
  t.end()
})

t.test('shareAt() gives the remainder to the first', (t) => {
  t.same(
    [0, 1, 2, 3].map((slot) => shareAt(slot, 7, 3)),
    [3, 2, 2, 0]
  )
  t.end()
})
