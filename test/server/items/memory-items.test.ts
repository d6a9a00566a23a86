import t from 'tap'
import { MemoryItems } from '../../../src/server/items/item-store.ts'
import { heapGrowth } from '../../helper/cost.ts'

const MIB = 2 ** 20
const HOUR_MS = 3_600_000
const limits = { maxBytes: MIB, maxAgeMs: HOUR_MS }

/** In memory of its own, as what is read from a file has it. */
const ownText = (text: string): string => Buffer.from(text).toString()

for (const chars of [2, 30, 1000]) {
  t.test(`entries of ${chars} characters take no more memory than there is for them`, async (t) => {
    const items = new MemoryItems(() => 0)
    const bytes = await heapGrowth(() => {
      for (let count = 0; count < 50_000; count++) {
        items.set(ownText(`${count}`.padStart(48, '0')), ownText('x'.repeat(chars)), limits)
      }
    })
    t.ok(bytes <= 1.1 * MIB, `${bytes} bytes`)
    t.equal(items.get('49999'.padStart(48, '0'), limits)?.length, chars, 'the newest are there')
    t.equal(items.get('0'.padStart(48, '0'), limits), null)
  })
}

t.test('forgets what is too old, and has one text for a key', async (t) => {
  let now = 0
  const items = new MemoryItems(() => now)
  items.set('key', 'old', limits)
  items.set('key', 'new', limits)
  t.equal(items.get('key', limits), 'new')
  now = HOUR_MS + 1
  t.equal(items.get('key', limits), null)
  for (let count = 0; count < 10; count++) items.set('large', 'x'.repeat(MIB / 2 - 1000), limits)
  t.equal(items.get('large', limits)?.length, MIB / 2 - 1000, 'what was replaced does not count')
  items.set('too large', 'x'.repeat(MIB), limits)
  t.equal(items.get('too large', limits), null)
})
