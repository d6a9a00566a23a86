import t from 'tap'
import * as fc from '../helper/fast-check.ts'
import {
  ITEM_PAGES,
  ITEMS_PER_PAGE,
  ItemPages,
  type SharedItem
} from '../../src/fleet/item-pages.ts'

const MAX_BYTES = 10_000

interface World {
  pages: ItemPages
  /** What Valkey has. */
  readonly items: Map<string, SharedItem>
  readonly texts: (string | null)[]
  now: number
  made: number
}

function begin(): World {
  const texts = Array.from({ length: ITEM_PAGES }, () => null)
  return { pages: new ItemPages(), items: new Map(), texts, now: 1_000, made: 0 }
}

/** As `FleetItems` does it; gives up before step `diesAt`, as a process that is killed. `owner` is a digit. */
function put(world: World, bytes: number, diesAt = Infinity, owner = '0'): void {
  const { items, texts, now } = world
  const name = owner.repeat(8) + (world.made++).toString(16).padStart(32, '0')
  const item = { name, bytes, until: now + 5_000 }
  const step = world.pages.add(item, { maxBytes: MAX_BYTES, now })
  if (step === null) return
  let done = 0
  for (const one of step.doomed) {
    if (done++ === diesAt) return
    items.delete(one.name)
  }
  if (done++ === diesAt) return
  texts[step.page % ITEM_PAGES] = world.pages.textOf(step.page)
  if (done === diesAt) return
  items.set(name, item)
}

function pass(world: World, ms: number): void {
  world.now += ms
  for (const [name, { until }] of world.items) if (until <= world.now) world.items.delete(name)
}

function restart(world: World): void {
  world.pages = ItemPages.of(world.texts, world.now)
}

function sumOf({ items }: World): number {
  return [...items.values()].reduce((sum, { bytes }) => sum + bytes, 0)
}

/** Names that the pages say. */
function namedIn({ texts }: World): ReadonlySet<string> {
  const named = texts.flatMap((text) => {
    const items: readonly (readonly [string])[] = text === null ? [] : JSON.parse(text).items
    return items.map(([name]) => name)
  })
  return new Set(named)
}

t.test('whatever happens Valkey has no more than it may, and all of it is known', async (t) => {
  const digit = fc.constantFrom('0', '1', '2', '3')
  const event = fc.oneof(
    { weight: 8, arbitrary: fc.record({ put: fc.integer({ min: 1, max: MAX_BYTES + 10 }) }) },
    { weight: 8, arbitrary: fc.record({ put: fc.integer({ min: 1, max: 60 }), owner: digit }) },
    { weight: 1, arbitrary: fc.record({ pass: fc.integer({ min: 1, max: 3_000 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        die: fc.integer({ min: 0, max: 4 }),
        put: fc.integer({ min: 1, max: 5_000 })
      })
    },
    { weight: 1, arbitrary: fc.record({ restart: fc.constant(true) }) }
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 400 }), (events) => {
      const world = begin()
      for (const one of events) {
        if ('die' in one) {
          put(world, one.put, one.die)
          restart(world)
        } else if ('put' in one) put(world, one.put, Infinity, 'owner' in one ? one.owner : '0')
        else if ('pass' in one) pass(world, one.pass)
        else restart(world)
        // It may count some that are gone, never the other way round.
        if (sumOf(world) > MAX_BYTES || world.pages.bytes < sumOf(world)) return false
        const named = namedIn(world)
        for (const name of world.items.keys()) if (!named.has(name)) return false
      }
      return true
    }),
    { numRuns: 300 }
  )
  t.pass('in 300 worlds')
})

t.test('their number is bounded, and the oldest go first', async (t) => {
  const world = begin()
  const most = ITEM_PAGES * ITEMS_PER_PAGE
  for (let count = 0; count < most * 2 + 5; count += 1) put(world, 1)
  t.ok(world.items.size <= most)
  t.ok(world.items.size > most - ITEMS_PER_PAGE)
  t.ok(world.items.has((world.made - 1).toString(16).padStart(40, '0')))
  t.notOk(world.items.has('0'.repeat(40)))
  const before = world.items.size
  restart(world)
  t.equal(world.pages.count, before, 'and the next process knows of all')
})

t.test('one owner cannot push out what others have', async (t) => {
  for (const bytes of [1, 500]) {
    const world = begin()
    for (const owner of ['a', 'b']) put(world, 3_000, Infinity, owner)
    for (let count = 0; count < ITEM_PAGES * ITEMS_PER_PAGE + 100; count += 1) put(world, bytes)
    restart(world)
    for (let count = 0; count < 100; count += 1) put(world, bytes)
    const owners = [...world.items.keys()].map(([digit]) => digit)
    t.same(new Set(owners), new Set(['a', 'b', '0']), `items of ${bytes} bytes`)
    t.ok(owners.length > (bytes === 1 ? 3_900 : 8), 'and the room of others is used')
  }
})

t.test('an item that is larger than an even part has no place beside many others', async (t) => {
  const world = begin()
  for (const owner of '0123456789') put(world, 1_000, Infinity, owner)
  put(world, 2_000, Infinity, 'a')
  t.notOk([...world.items.keys()].some((name) => name.startsWith('a')))
  t.equal(world.items.size, 10, 'and nothing made room for it')
})

t.test(
  'an item that is larger than an even part takes room from those who have more',
  async (t) => {
    const world = begin()
    put(world, 9_000, Infinity, 'a')
    put(world, 5_500, Infinity, 'b')
    const owners = () => [...world.items.keys()].map(([digit]) => digit)
    t.same(owners(), ['b'], 'as an item of 5,000 bytes would have done')
    put(world, 1_000, Infinity, 'b')
    put(world, 6_500, Infinity, 'c')
    t.same(owners(), ['b', 'b'], 'others who have as much or less keep what they have')
    put(world, 9_000, Infinity, 'b')
    const sizes = [...world.items.values()].map(({ bytes }) => bytes)
    t.same(sizes, [1_000, 9_000], 'its own oldest goes first')
  }
)

t.test('what stands in Valkey may be anything', async (t) => {
  const hostile = [
    'no json',
    '[]',
    '{"v":2,"page":0,"items":[]}',
    '{"v":1,"page":-1,"items":[]}',
    '{"v":1,"page":1e300,"items":[]}',
    `{"v":1,"page":${2 ** 53 - 64},"items":[]}`,
    '{"v":1,"page":0,"items":[["ledger",1,9e15]]}',
    `{"v":1,"page":0,"items":[["${'a'.repeat(40)}",-5,9000000]]}`,
    JSON.stringify({
      v: 1,
      page: 0,
      items: Array.from({ length: 100 }, () => ['a'.repeat(40), 1, 2])
    })
  ]
  for (const text of hostile) {
    const pages = ItemPages.of([text], 0)
    t.equal(pages.count, 0, text.slice(0, 60))
    t.not(pages.add({ name: 'b'.repeat(40), bytes: 1, until: 10 }, { maxBytes: 10, now: 1 }), null)
  }
  const misplaced = ItemPages.of([null, `{"v":1,"page":0,"items":[["${'a'.repeat(40)}",1,99]]}`], 0)
  t.equal(misplaced.count, 0)
})
