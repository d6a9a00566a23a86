import t from 'tap'
import { argumentsOf, hoursOfDays, numbersIn, type Recipe } from './reproduce.ts'
import { shrink, type Verdict } from './shrink.ts'

const WHOLE: Recipe = {
  seed: 7,
  hours: 2,
  load: 'even',
  agents: null,
  faults: null,
  expected: null
}
const HOUR_MS = 3_600_000

/** A world of ten agents and forty faults that fails when two faults and an agent meet, and otherwise holds. */
function fakeWorld({ agents, faults, hours }: Recipe): Verdict {
  const here = agents ?? Array.from({ length: 10 }, (_, index) => index + 1)
  const happened = faults ?? Array.from({ length: 40 }, (_, index) => index + 1)
  const hasFailed =
    here.includes(4) && happened.includes(9) && happened.includes(31) && hours >= 0.5
  const violation = hasFailed ? `ask-${here.length} has not ended since ${happened.length}.5` : null
  return { violation, at: 0.5 * HOUR_MS, agents: here, faults: happened }
}

t.test('what has nothing to do with a failure is left out', async (t) => {
  const smaller: Recipe[] = []
  const smallest = await shrink(WHOLE, fakeWorld(WHOLE), {
    run: async (recipe) => fakeWorld(recipe),
    onSmaller: (recipe) => smaller.push(recipe)
  })
  t.strictSame(smallest, { ...WHOLE, hours: 0.5, agents: [4], faults: [9, 31] })
  t.strictSame(smaller.at(-1), smallest)
})

t.test('another failure is not taken for this one', async (t) => {
  const smallest = await shrink(WHOLE, fakeWorld(WHOLE), {
    run: async (recipe) => ({ ...fakeWorld(recipe), violation: 'something else' }),
    onSmaller: () => t.fail('nothing is smaller')
  })
  t.equal(smallest.faults?.length, 40)
})

t.test('it ends when there is no time left', async (t) => {
  let runs = 0
  await shrink(WHOLE, fakeWorld(WHOLE), {
    run: async () => {
      runs += 1
      return null
    },
    onSmaller: () => {}
  })
  t.equal(runs, 1)
})

t.test('a recipe is what its command says', (t) => {
  const args = argumentsOf({ ...WHOLE, agents: [2, 4], faults: [], expected: 3 })
  t.equal(args.join(' '), '--seed 7 --hours 2 --agents 2,4 --faults none --expected 3')
  const days = argumentsOf({ ...WHOLE, hours: hoursOfDays(1.37), load: 'days' })
  t.equal(days.join(' '), '--seed 7 --days 1.37')
  t.strictSame([numbersIn('2,4'), numbersIn('none'), numbersIn(undefined)], [[2, 4], [], null])
  t.end()
})
