import { randomUUID } from 'node:crypto'
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { toItemId, toResponseId } from '../../../src/dialects/openai-responses/item-id.ts'
import { ItemStore, type ItemStoreOptions } from '../../../src/server/items/item-store.ts'

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxAgeMs: 60_000 }
const MUCH = 32 * 1024 * 1024

interface Warning {
  readonly fields: object
  readonly message: string
}

function setUp(t: Test, options: Partial<ItemStoreOptions> = {}) {
  const folder = options.folder ?? join(mkdtempSync(join(tmpdir(), 'item-store-')), 'responses')
  const warnings: Warning[] = []
  const warn = (fields: object, message: string): void => void warnings.push({ fields, message })
  const log = { warn } as unknown as ItemStoreOptions['log']
  const create = (): ItemStore => {
    const store = new ItemStore({ folder, writers: 2, limits: () => LIMITS, log, ...options })
    t.teardown(() => store.close())
    return store
  }
  return { folder, warnings, store: create(), create }
}

/** An answer of one message, with an id of its own. */
function answer(text = 'hello') {
  const responseId = toResponseId(randomUUID().replaceAll('-', ''))
  const id = toItemId('msg', responseId, 0)
  const item = { id, type: 'message', content: [{ type: 'output_text', text }] }
  return { responseId, id, item, items: new Map([[id, JSON.stringify(item)]]) }
}

t.test('what one worker keeps every worker finds', async (t) => {
  const { folder, store, create } = setUp(t)
  const other = create()
  const first = answer('Grüße, 世界')
  const second = answer()
  await store.save(first.responseId, first.items)
  await other.save(second.responseId, second.items)
  const found = await other.find([first.id, second.id, answer().id], MUCH)
  t.same(found.items, { [first.id]: first.item, [second.id]: second.item })
  t.ok(found.bytes > 100)
  t.equal(statSync(folder).mode & 0o777, 0o700)
  for (const name of readdirSync(folder)) {
    t.equal(statSync(join(folder, name)).mode & 0o777, 0o600)
    t.match(name, /^[0-9a-f]{28}$/, 'and no draft is left')
  }
})

t.test('an item of an answer that is kept, but not in it, is not found', async (t) => {
  const { store } = setUp(t)
  const { responseId, items } = answer()
  await store.save(responseId, items)
  t.same((await store.find([toItemId('msg', responseId, 1)], MUCH)).items, {})
})

t.test('what is too long to be read again is not written', async (t) => {
  const { folder, store } = setUp(t)
  const { responseId, id } = answer()
  const wide = JSON.stringify('世'.repeat(1_000_000))
  await store.save(responseId, new Map([[id, wide]]))
  t.equal(readdirSync(folder).length, 1)
  const long = answer()
  await store.save(long.responseId, new Map(['a', 'b'].map((name) => [long.id + name, wide])))
  t.equal(readdirSync(folder).length, 1, 'characters are not bytes')
})

t.test('no id leads out of the folder', async (t) => {
  const { folder, store } = setUp(t)
  const { responseId, items, id } = answer()
  await store.save(responseId, items)
  writeFileSync(join(folder, '..', 'secret'), '{"msg_../secret":{"a":1}}')
  for (const bad of [
    'msg_../secret',
    '../secret',
    'msg_',
    `${id}/../x`,
    `${id}\n`,
    `\u0000${id}`,
    id.toUpperCase(),
    'msg_' + '.'.repeat(32),
    '__proto__',
    ''
  ]) {
    t.same(await store.find([bad], MUCH), { items: {}, bytes: 0 }, JSON.stringify(bad))
  }
  await store.save('resp_../../x', items)
  t.equal(readdirSync(folder).length, 1)
})

t.test('nothing is kept with a limit of 0', async (t) => {
  const { store, folder } = setUp(t, { limits: () => ({ ...LIMITS, maxBytes: 0 }) })
  const { responseId, items, id } = answer()
  await store.save(responseId, items)
  t.throws(() => readdirSync(folder), { code: 'ENOENT' })
  t.same((await store.find([id], MUCH)).items, {})
})

t.test('what is too old is not found, and deleted in time', async (t) => {
  const { store, folder } = setUp(t)
  const old = answer()
  const young = answer()
  await store.save(old.responseId, old.items)
  await store.save(young.responseId, young.items)
  const name = old.id.slice(4, 32)
  utimesSync(join(folder, name), new Date(), new Date(Date.now() - LIMITS.maxAgeMs - 1))
  t.same(Object.keys((await store.find([old.id, young.id], MUCH)).items), [young.id])
  await store.sweep()
  t.same(readdirSync(folder), [young.id.slice(4, 32)])
})

t.test('a request may refer to so much and no more', async (t) => {
  const { store } = setUp(t)
  const kept = [answer('x'.repeat(1000)), answer('y'.repeat(1000))]
  for (const { responseId, items } of kept) await store.save(responseId, items)
  const ids = kept.map(({ id }) => id)
  const { bytes } = await store.find(ids, MUCH)
  t.same(Object.keys((await store.find(ids, bytes)).items), ids)
  await t.rejects(store.find(ids, bytes - 1), { code: 'GW_BODY_TOO_LARGE' })
})

t.test('the files of all workers together stay below the limit', async (t) => {
  const maxBytes = 64 * 4096
  const { store, folder, create } = setUp(t, { limits: () => ({ ...LIMITS, maxBytes }) })
  const stores = [store, create()]
  const ids: string[] = []
  for (let count = 0; count < 400; count++) {
    const { responseId, items, id } = answer('z'.repeat(3000))
    await stores[count % 2]?.save(responseId, items)
    ids.push(id)
    if (count % 4 === 0) await Promise.all(stores.map((one) => one.sweep()))
    t.ok(readdirSync(folder).length * 4096 <= maxBytes)
  }
  const { items } = await store.find(ids, MUCH)
  const kept = ids.map((id) => Object.hasOwn(items, id))
  t.ok(kept.filter(Boolean).length >= 32, 'much is left')
  t.ok(kept.slice(-20).every(Boolean), 'and that is the newest')
})

t.test(
  'an item that is too large is left out, and an answer of nothing else is not kept',
  async (t) => {
    const { store, folder } = setUp(t)
    const { responseId, items, id } = answer()
    const large = toItemId('fc', responseId, 1)
    const both = new Map([...items, [large, JSON.stringify('x'.repeat(1024 * 1024))]])
    await store.save(responseId, both)
    t.same(Object.keys((await store.find([id, large], MUCH)).items), [id])
    const next = answer('x'.repeat(1024 * 1024))
    await store.save(next.responseId, next.items)
    t.equal(readdirSync(folder).length, 1)
  }
)

t.test('without a folder that can be written', async (t) => {
  const blocked = join(mkdtempSync(join(tmpdir(), 'item-store-')), 'file')
  writeFileSync(blocked, '')
  t.test('the newest stay in memory, and one warning says so', async (t) => {
    const { store, warnings } = setUp(t, { folder: join(blocked, 'responses') })
    const kept = Array.from({ length: 12 }, () => answer('x'.repeat(500_000)))
    for (const { responseId, items } of kept) await store.save(responseId, items)
    const ids = kept.map(({ id }) => id)
    const { items } = await store.find(ids, MUCH)
    t.same(Object.keys(items), ids.slice(-4), '4 MiB of them')
    t.equal(warnings.length, 1)
    t.match(warnings[0], { fields: { code: 'ENOTDIR' }, message: /memory of this worker/ })
    t.notMatch(JSON.stringify(warnings), /xxx/)
  })

  t.test('for so long as they would be kept elsewhere', async (t) => {
    let now = 0
    const { store } = setUp(t, { folder: join(blocked, 'responses'), now: () => now })
    const { responseId, items, id } = answer()
    await store.save(responseId, items)
    now = LIMITS.maxAgeMs
    t.same(Object.keys((await store.find([id], MUCH)).items), [id])
    now++
    t.same((await store.find([id], MUCH)).items, {})
  })
})

const HOUR = { ...LIMITS, maxAgeMs: 3_600_000 }

async function foundBy(one: ItemStore, ids: readonly string[]): Promise<readonly string[]> {
  return Object.keys((await one.find(ids, MUCH)).items)
}

t.test('a disk that fails for a while', async (t) => {
  let now = Date.now()
  const parent = mkdtempSync(join(tmpdir(), 'item-store-'))
  const blocked = join(parent, 'file')
  writeFileSync(blocked, '')
  const options = { folder: join(blocked, 'responses'), now: () => now, limits: () => HOUR }
  const { store, warnings, create } = setUp(t, options)
  const keep = async (): Promise<string> => {
    const { responseId, items, id } = answer()
    await store.save(responseId, items)
    return id
  }
  const first = await keep()
  unlinkSync(blocked)
  now += 59_999
  const second = await keep()
  t.same(await foundBy(create(), [first, second]), [], 'it is not asked again at once')
  now += 1
  const third = await keep()
  t.same(await foundBy(create(), [first, second, third]), [third], 'but after a minute')
  t.same(await foundBy(store, [first, second, third]), [first, second, third], 'nothing is lost')
  t.equal(warnings.length, 1)
  rmSync(blocked, { recursive: true })
  writeFileSync(blocked, '')
  await keep()
  now += 60_000
  await keep()
  t.equal(warnings.length, 2, 'once each time')
})

t.test('a damaged file is as good as none', async (t) => {
  const { store, folder } = setUp(t)
  const { responseId, items, id } = answer()
  await store.save(responseId, items)
  const path = join(folder, id.slice(4, 32))
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, -5))
  t.same((await store.find([id], MUCH)).items, {})
})
