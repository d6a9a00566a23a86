import t from 'tap'
import { MAX_WORDS } from './answer-frames.ts'
import { nextEvent, nextScript } from './faults.ts'
import { nextPoolSize, reservedOf } from './pool-size.ts'
import { Random } from './random.ts'

t.test('a seed', async (t) => {
  t.same(script(7), script(7), 'gives the same chaos again')
  t.notSame(script(7), script(8))
})

t.test('every fault comes up, and stays within what can be played', async (t) => {
  const random = new Random(1)
  const names = new Set<string>()
  for (let i = 0; i < 5000; i++) {
    const script = nextScript(random)
    if (script.name !== 'answer') {
      names.add(script.name)
      continue
    }
    names.add(script.end)
    const isWhole = script.end.startsWith('whole')
    if (isWhole ? script.sent !== script.words : script.sent >= script.words) t.fail(script.end)
    if (script.words > MAX_WORDS) t.fail(`${script.words} words`)
  }
  t.same([...names].toSorted(), [
    'fin',
    'reset',
    'reset-before-headers',
    'stall',
    'stall-before-headers',
    'status',
    'whole',
    'whole-and-close'
  ])
  const events = new Set(Array.from({ length: 500 }, () => nextEvent(random).name))
  t.same([...events].toSorted(), ['deaf', 'fin-idle', 'refuse', 'reset-idle', 'slow-accept'])
})

t.test('a pool size is one that the gateway takes as it is', async (t) => {
  const random = new Random(3)
  for (let i = 0; i < 500; i++) {
    const size = nextPoolSize(random)
    t.ok(size.connections >= 8 && size.idle <= size.connections && reservedOf(size) <= 4)
  }
})

/** What happens in the first rounds. */
function script(seed: number) {
  const random = new Random(seed)
  return Array.from({ length: 50 }, () => [nextScript(random), nextEvent(random)])
}
