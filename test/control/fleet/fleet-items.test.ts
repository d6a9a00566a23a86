import { createHash } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FleetItems } from '../../../src/control/fleet/fleet-items.ts'
import { ItemLine } from '../../../src/control/fleet/item-line.ts'
import { FleetSeal } from '../../../src/fleet/fleet-seal.ts'
import { FakeRecords } from '../../helper/fake-records.ts'
import { until } from '../../helper/fleet-team.ts'

t.setTimeout(120_000)

const SEAL = new FleetSeal(['a-secret-of-at-least-32-characters'], 'test')

const nameOf = (at: number): string => at.toString(16).padStart(40, '0')

function setUp(t: Test, maxBytes = 1_000_000) {
  const folder = mkdtempSync(join(tmpdir(), 'fleet-items-'))
  const records = new FakeRecords()
  const lines: string[] = []
  const say = (_facts: unknown, message: string): void => void lines.push(message)
  const items = new FleetItems({
    records,
    seal: SEAL,
    folder,
    member: 'a',
    limits: () => ({ maxBytes, maxAgeMs: 3_600_000 }),
    log: { warn: say, info: say } as never
  })
  t.teardown(() => items.close())
  const share = (at: number): void => {
    writeFileSync(join(folder, nameOf(at)), `answer ${at}`)
    items.share(nameOf(at))
  }
  const isThere = async (at: number): Promise<boolean> =>
    (await records.read(`item.${nameOf(at)}`)).value !== null
  return { records, lines, share, isThere }
}

t.test(
  'an answer that cannot be put keeps the others for a moment only, and is told of',
  async (t) => {
    const { records, lines, share, isThere } = setUp(t)
    const broken = `item.${nameOf(1)}`
    records.broken.add(broken)
    for (const at of [1, 2, 3]) share(at)
    await until(async () => (await isThere(2)) && (await isThere(3)))
    await until(() => lines.some((line) => line.includes('only this gateway can find it')))
    t.equal(lines.filter((line) => line.includes('only this gateway can find it')).length, 1)
    const { length } = records.commands.filter((one) => one === `cas ${broken}`)
    t.equal(length, 10)
    share(4)
    await until(() => isThere(4))
  }
)

t.test('what makes room for one that fails is taken away all the same', async (t) => {
  const { records, share, isThere } = setUp(t, 150)
  for (const at of [1, 2, 3]) {
    share(at)
    await until(() => isThere(at))
  }
  await until(async () => !(await isThere(1)))
  records.broken.add(`item.${nameOf(4)}`)
  records.broken.add(`item.${nameOf(2)}`)
  share(4)
  share(5)
  const tried = `cas item.${nameOf(2)}`
  await until(() => records.commands.filter((one) => one === tried).length > 2)
  records.broken.delete(`item.${nameOf(2)}`)
  await until(() => isThere(5))
  t.notOk(await isThere(2))
})

t.test('a page that somebody without the secret has written takes no answer away', async (t) => {
  const { records, share, isThere } = setUp(t, 1_000)
  const owner = createHash('sha256').update('a').digest('hex').slice(0, 16)
  const others = `item.${nameOf(7)}`
  await records.cas(others, { rev: 0, value: 'of another gateway' })
  const items = [[nameOf(7), 990, Date.now() + 3_600_000]]
  const lie = JSON.stringify({ v: 1, page: 0, items })
  await records.cas(`items.${owner}.0`, { rev: 0, value: lie })
  share(1)
  await until(() => isThere(1))
  t.ok(await isThere(7))
})

t.test('ItemLine', (t) => {
  t.test('while none can be done all wait, and the oldest are given up for new ones', (t) => {
    const line = new ItemLine()
    for (let at = 0; at < 1_024; at += 1) t.equal(line.add(`n${at}`), null)
    for (let tries = 0; tries < 100; tries += 1) t.ok(line.failed(line.first ?? ''))
    t.equal(line.size, 1_024)
    t.equal(line.first, 'n20', 'each had its five')
    t.equal(line.add('more'), 'n21')
    t.end()
  })
  t.test('one key cannot have those of others given up', (t) => {
    const line = new ItemLine()
    for (const owner of ['a', 'b']) line.add(owner.repeat(40))
    for (let at = 0; at < 2_000; at += 1) line.add(nameOf(at))
    t.equal(line.size, 1_024)
    t.equal(line.first, 'a'.repeat(40))
    line.done('a'.repeat(40))
    t.equal(line.first, 'b'.repeat(40))
    t.end()
  })
  t.test('one that fails is given up when another was done', (t) => {
    const line = new ItemLine()
    for (const name of ['bad', 'good']) line.add(name)
    for (let tries = 0; tries < 5; tries += 1) t.ok(line.failed('bad'))
    t.equal(line.first, 'good')
    line.done('good')
    for (let tries = 0; tries < 4; tries += 1) t.ok(line.failed('bad'))
    t.notOk(line.failed('bad'))
    t.equal(line.size, 0)
    t.end()
  })
  t.end()
})
