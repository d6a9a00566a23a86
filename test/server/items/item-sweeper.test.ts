import { randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { sweepItems } from '../../../src/server/items/item-sweeper.ts'

const NOW = 1_800_000_000_000

function setUp(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'item-sweeper-'))
  const put = (name: string, ageMs: number, bytes = 10): string => {
    const path = join(folder, name)
    writeFileSync(path, 'x'.repeat(bytes))
    utimesSync(path, new Date(NOW), new Date(NOW - ageMs))
    return name
  }
  const sweep = (maxBytes = 1e9) => sweepItems(folder, { maxBytes, maxAgeMs: 100_000, now: NOW })
  t.ok(folder)
  return { put, sweep, left: () => readdirSync(folder).toSorted() }
}

/** A name of the owner's, who has a digit, too. */
function nameOf(digit: string, owner = '0'): string {
  return owner.repeat(8) + digit.repeat(32)
}

/** Of a file that is being written. */
function draftOf(digit: string): string {
  return `.${nameOf(digit)}.${randomUUID()}.tmp`
}

t.test(
  'deletes at once what belongs to nobody: answers that were kept without an owner',
  async (t) => {
    const { put, sweep, left } = setUp(t)
    for (const name of ['a'.repeat(28), `${'b'.repeat(28)}.draft`]) put(name, 1)
    const kept = put(nameOf('c'), 1)
    await sweep()
    t.same(left(), [kept])
  }
)

t.test('deletes what is older than allowed', async (t) => {
  const { put, sweep, left } = setUp(t)
  put(nameOf('a'), 100_001)
  const kept = [put(nameOf('b'), 100_000), put(nameOf('c'), 0)]
  await sweep()
  t.same(left(), kept)
})

t.test('deletes the oldest of what is too much, counted in blocks of a disk', async (t) => {
  const { put, sweep, left } = setUp(t)
  put(nameOf('a'), 30_000)
  const kept = [put(nameOf('b'), 20_000, 5000), put(nameOf('c'), 10_000)]
  await sweep(5000 + 4096)
  t.same(left(), kept)
  await sweep(5000 + 4095)
  t.same(left(), [nameOf('c')])
  await sweep(0)
  t.same(left(), [])
})

t.test('deletes no more than there is too much, however few and large the files are', async (t) => {
  const { put, sweep, left } = setUp(t)
  for (const [index, owner] of Array.from('123456789abcdef').entries())
    put(nameOf(owner, owner), 1_000 - index, 3 * 4096)
  await sweep(12 * 3 * 4096)
  t.equal(left().length, 12)
})

t.test('who has the most makes room, and nobody else', async (t) => {
  const { put, sweep, left } = setUp(t)
  const old = [put(nameOf('1', 'a'), 90_000), put(nameOf('2', 'b'), 80_000)]
  const young = Array.from('3456789', (digit, index) => put(nameOf(digit, 'c'), 7_000 - index))
  await sweep(6 * 4096)
  t.same(left(), [...old, ...young.slice(-4)], 'an even part would be two, and they leave one each')
  await sweep(3 * 4096)
  t.same(left(), [...old, ...young.slice(-1)])
  put(nameOf('9', 'a'), 1)
  await sweep(3 * 4096)
  t.same(left(), [nameOf('9', 'a'), old[1], young.at(-1)], 'of the own the oldest')
})

t.test(
  'leaves drafts that may be being written, and deletes those that nobody writes',
  async (t) => {
    const { put, sweep, left } = setUp(t)
    put(draftOf('a'), 60_001)
    const young = put(draftOf('b'), 60_000)
    await sweep(0)
    t.same(left(), [young])
  }
)

t.test('leaves what it did not make', async (t) => {
  const { put, sweep, left } = setUp(t)
  const names = [
    'README',
    nameOf('A'),
    `${nameOf('a')}.txt`,
    nameOf('a').slice(1),
    `.${nameOf('a')}`,
    '.tmp'
  ]
  for (const name of names) put(name, 1e9)
  await sweep(0)
  t.same(left(), names.toSorted())
})

t.test('any number of workers may sweep at once', async (t) => {
  const { put, sweep, left } = setUp(t)
  for (let index = 0; index < 200; index++) {
    put(index.toString(16).padStart(40, '0'), 1000 + (200 - index))
  }
  await Promise.all(Array.from({ length: 5 }, () => sweep(50 * 4096)))
  t.same(
    left(),
    Array.from({ length: 50 }, (_, index) => (150 + index).toString(16).padStart(40, '0'))
  )
})

t.test('says that there is no folder', async (t) => {
  await t.rejects(sweepItems('/nowhere/at/all', { maxBytes: 1, maxAgeMs: 1, now: NOW }), {
    code: 'ENOENT'
  })
})
