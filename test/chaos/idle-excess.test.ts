import t from 'tap'
import { IdleExcess } from './idle-excess.ts'

t.test('IdleExcess', async (t) => {
  const excess = new IdleExcess()
  const note = (confirmed: number, now: number): void =>
    excess.note({ counted: confirmed, confirmed, ceiling: 10 }, now)
  note(10, 0)
  t.equal(excess.worst, null, 'as many as allowed are not too many')
  note(12, 10)
  t.match(excess, { longestMs: 0, worst: { confirmed: 12 }, max: 12 })
  note(11, 40)
  note(9, 50)
  t.equal(excess.longestMs, 30, 'a stretch lasts from its first to its last sample')
  note(15, 60)
  note(15, 80)
  t.match(excess, { longestMs: 30, worst: { confirmed: 11 }, max: 15 }, 'the longest counts')
  note(13, 100)
  t.match(excess, { longestMs: 40, worst: { confirmed: 13 } })
  note(20, 201)
  t.match(excess, { longestMs: 40, max: 20 }, 'what was not looked at is not held against it')
  note(20, 300)
  t.match(excess, { longestMs: 99, worst: { confirmed: 20 } })
})
