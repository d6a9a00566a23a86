import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { itemsOf } from '../../../src/dialects/openai-responses/input.ts'
import { toItemId, toResponseId } from '../../../src/dialects/openai-responses/output-items.ts'
import { ItemStore, type ItemStoreOptions } from '../../../src/server/items/item-store.ts'

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxAgeMs: 60_000 }
const OWNER = 'first-key'

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

/** Of the items with these ids those that are found. */
async function found(store: ItemStore, owner: string, ids: readonly string[]) {
  const items = itemsOf(await store.find(owner, ids, async () => {}))
  return Object.fromEntries(Object.entries(items).filter(([id]) => ids.includes(id)))
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
  await store.save({ owner: OWNER, ...first })
  await other.save({ owner: OWNER, ...second })
  const ids = [first.id, second.id, answer().id]
  t.same(await found(other, OWNER, ids), { [first.id]: first.item, [second.id]: second.item })
  t.equal(statSync(folder).mode & 0o777, 0o700)
  for (const name of readdirSync(folder)) {
    t.equal(statSync(join(folder, name)).mode & 0o777, 0o600)
    t.match(name, /^[0-9a-f]{40}$/, 'and no draft is left')
  }
})

t.test('an answer belongs to the key that made it', async (t) => {
  const { folder, store, create } = setUp(t)
  const kept = answer('secret')
  await store.save({ ...kept, owner: 'first-key' })
  for (const one of [store, create()]) {
    t.same(await found(one, 'first-key', [kept.id]), { [kept.id]: kept.item })
    t.same(await found(one, 'second-key', [kept.id]), {}, 'as if it had never been')
    t.same(await found(one, 'second-key', [answer().id]), {})
    t.same(await found(one, '', [kept.id]), {})
  }
  await store.save({ ...kept, owner: 'second-key', items: answer('mine').items })
  t.match(await found(store, 'first-key', [kept.id]), { [kept.id]: kept.item })
  t.equal(readdirSync(folder).length, 2)
  t.notMatch(readdirSync(folder).join(), kept.id.slice(4, 32), 'no name tells an id')
})

t.test(
  'what another user could have put into the folder is neither followed nor read',
  async (t) => {
    const { folder, store } = setUp(t)
    const kept = answer()
    await store.save({ ...kept, owner: OWNER })
    const [name = ''] = readdirSync(folder)
    const target = join(folder, '..', 'target')
    writeFileSync(target, JSON.stringify({ [kept.id]: 'planted' }))
    unlinkSync(join(folder, name))
    symlinkSync(target, join(folder, name))
    t.same(await found(store, OWNER, [kept.id]), {})
    await store.save({ ...kept, owner: OWNER })
    t.notOk(lstatSync(join(folder, name)).isSymbolicLink(), 'the link gives way to the file')
    t.match(readFileSync(target, 'utf8'), /planted/)
    chmodSync(folder, 0o777)
    await store.save({ ...answer(), owner: OWNER })
    t.equal(statSync(folder).mode & 0o777, 0o700)
  }
)

t.test('an item of an answer that is kept, but not in it, is not found', async (t) => {
  const { store } = setUp(t)
  const { responseId, items } = answer()
  await store.save({ owner: OWNER, responseId, items })
  t.same(await found(store, OWNER, [toItemId('msg', responseId, 1)]), {})
})

t.test('what is too long to be read again is not written', async (t) => {
  const { folder, store } = setUp(t)
  const { responseId, id } = answer()
  const wide = JSON.stringify('世'.repeat(1_000_000))
  await store.save({ owner: OWNER, responseId, items: new Map([[id, wide]]) })
  t.equal(readdirSync(folder).length, 1)
  const long = answer()
  const items = new Map(['a', 'b'].map((name) => [long.id + name, wide]))
  await store.save({ ...long, owner: OWNER, items })
  t.equal(readdirSync(folder).length, 1, 'characters are not bytes')
})

t.test('no id leads out of the folder', async (t) => {
  const { folder, store } = setUp(t)
  const { responseId, items, id } = answer()
  await store.save({ owner: OWNER, responseId, items })
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
    t.same(await found(store, OWNER, [bad]), {}, JSON.stringify(bad))
  }
  await store.save({ owner: OWNER, responseId: 'resp_../../x', items })
  t.equal(readdirSync(folder).length, 1)
})

t.test('nothing is kept with a limit of 0', async (t) => {
  const { store, folder } = setUp(t, { limits: () => ({ ...LIMITS, maxBytes: 0 }) })
  const { responseId, items, id } = answer()
  await store.save({ owner: OWNER, responseId, items })
  t.throws(() => readdirSync(folder), { code: 'ENOENT' })
  t.same(await found(store, OWNER, [id]), {})
})

t.test('what is too old is not found, and deleted in time', async (t) => {
  const { store, folder } = setUp(t)
  const old = answer()
  const young = answer()
  await store.save({ owner: OWNER, ...old })
  const [name = ''] = readdirSync(folder)
  await store.save({ owner: OWNER, ...young })
  const youngName = readdirSync(folder).filter((other) => other !== name)
  utimesSync(join(folder, name), new Date(), new Date(Date.now() - LIMITS.maxAgeMs - 1))
  t.same(Object.keys(await found(store, OWNER, [old.id, young.id])), [young.id])
  await store.sweep()
  t.same(readdirSync(folder), youngName)
})

t.test('nothing is read before all of it has been admitted', async (t) => {
  const { store, folder } = setUp(t)
  const kept = [answer('x'.repeat(1000)), answer('y'.repeat(1000))]
  for (const { responseId, items } of kept) await store.save({ owner: OWNER, responseId, items })
  const ids = kept.map(({ id }) => id)
  const names = readdirSync(folder).map((name) => join(folder, name))
  const bytes = names.reduce((sum, name) => sum + statSync(name).size, 0)
  const refusal = new Error('no room')
  const admitted: number[] = []
  const refuse = async (more: number): Promise<void> => {
    admitted.push(more)
    throw refusal
  }
  await t.rejects(store.find(OWNER, [...ids, ...ids, answer().id], refuse), refusal)
  t.same(admitted, [bytes], 'each answer once')
  const answers = await store.find(OWNER, ids, async () => {
    for (const name of names) writeFileSync(name, Buffer.alloc(bytes, ' '), { flag: 'a' })
  })
  t.same(answers, [], 'what has grown since then is not read')
})

t.test('the files of all workers together stay below the limit', async (t) => {
  const maxBytes = 64 * 4096
  const { store, folder, create } = setUp(t, { limits: () => ({ ...LIMITS, maxBytes }) })
  const stores = [store, create()]
  const ids: string[] = []
  for (let count = 0; count < 400; count++) {
    const { responseId, items, id } = answer('z'.repeat(3000))
    await stores[count % 2]?.save({ owner: OWNER, responseId, items })
    ids.push(id)
    if (count % 4 === 0) await Promise.all(stores.map((one) => one.sweep()))
    t.ok(readdirSync(folder).length * 4096 <= maxBytes)
  }
  const items = await found(store, OWNER, ids)
  const kept = ids.map((id) => Object.hasOwn(items, id))
  t.ok(kept.filter(Boolean).length >= 32, 'much is left')
  t.ok(kept.slice(-20).every(Boolean), 'and that is the newest')
})

t.test('one key cannot push the answers of others out', async (t) => {
  const maxBytes = 64 * 4096
  const { store, folder } = setUp(t, { limits: () => ({ ...LIMITS, maxBytes }) })
  const others = await Promise.all(
    ['anna', 'ben', 'anyone', '0f'.repeat(16)].map(async (owner) => {
      const { responseId, items, id } = answer('a'.repeat(3000))
      await store.save({ owner, responseId, items })
      return { owner, id }
    })
  )
  for (let count = 0; count < 400; count++) {
    await store.save({ owner: 'hog', ...answer('z'.repeat(3000)) })
    if (count % 4 === 0) await store.sweep()
    t.ok(readdirSync(folder).length * 4096 <= maxBytes)
  }
  for (const { owner, id } of others) {
    t.same(Object.keys(await found(store, owner, [id])), [id], owner)
  }
})

t.test('no digit of the hash of an operator’s key is in a name', async (t) => {
  const { store, folder } = setUp(t)
  for (const owner of ['anyone', 'ab'.repeat(16), 'cd'.repeat(16)])
    await store.save({ owner, ...answer() })
  for (const name of readdirSync(folder)) t.match(name, /^0{8}[0-9a-f]{32}$/)
})

t.test(
  'an item that is too large is left out, and an answer of nothing else is not kept',
  async (t) => {
    const { store, folder } = setUp(t)
    const { responseId, items, id } = answer()
    const large = toItemId('fc', responseId, 1)
    const both = new Map([...items, [large, JSON.stringify('x'.repeat(3 * 1024 * 1024))]])
    await store.save({ owner: OWNER, responseId, items: both })
    t.same(Object.keys(await found(store, OWNER, [id, large])), [id])
    const next = answer('x'.repeat(3 * 1024 * 1024))
    await store.save({ owner: OWNER, ...next })
    t.equal(readdirSync(folder).length, 1)
  }
)

t.test('without a folder that can be written', async (t) => {
  const blocked = join(mkdtempSync(join(tmpdir(), 'item-store-')), 'file')
  writeFileSync(blocked, '')
  t.test('the newest stay in memory, and one warning says so', async (t) => {
    const { store, warnings } = setUp(t, { folder: join(blocked, 'responses') })
    const kept = Array.from({ length: 12 }, () => answer('x'.repeat(500_000)))
    for (const { responseId, items } of kept) await store.save({ owner: OWNER, responseId, items })
    const ids = kept.map(({ id }) => id)
    const items = await found(store, OWNER, ids)
    t.same(Object.keys(items), ids.slice(-4), '4 MiB of them')
    t.equal(warnings.length, 1)
    t.match(warnings[0], { fields: { code: 'ENOTDIR' }, message: /stay in this worker/ })
    t.notMatch(JSON.stringify(warnings), /xxx/)
  })

  t.test('one key cannot push those of others out', async (t) => {
    const { store } = setUp(t, { folder: join(blocked, 'responses') })
    const mine = answer('x'.repeat(500_000))
    await store.save({ owner: 'anna', ...mine })
    for (let count = 0; count < 12; count++)
      await store.save({ owner: 'hog', ...answer('x'.repeat(500_000)) })
    t.same(Object.keys(await found(store, 'anna', [mine.id])), [mine.id])
  })

  t.test('for so long as they would be kept elsewhere', async (t) => {
    let now = 0
    const { store } = setUp(t, { folder: join(blocked, 'responses'), now: () => now })
    const { responseId, items, id } = answer()
    await store.save({ owner: OWNER, responseId, items })
    now = LIMITS.maxAgeMs
    t.same(Object.keys(await found(store, OWNER, [id])), [id])
    now++
    t.same(await found(store, OWNER, [id]), {})
  })
})

const HOUR = { ...LIMITS, maxAgeMs: 3_600_000 }

async function foundBy(one: ItemStore, ids: readonly string[]): Promise<readonly string[]> {
  return Object.keys(await found(one, OWNER, ids))
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
    await store.save({ owner: OWNER, responseId, items })
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
  await store.save({ owner: OWNER, responseId, items })
  const path = join(folder, readdirSync(folder)[0] ?? '')
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, -5))
  t.same(await found(store, OWNER, [id]), {})
})

t.test('says what is missing when the other gateways cannot be asked', async (t) => {
  const elsewhere = Promise.resolve({ fetch: async () => 'valkey' as const })
  const { store } = setUp(t, { elsewhere } as unknown as Partial<ItemStoreOptions>)
  const { responseId, id } = answer()
  const why = "the fleet's Valkey does not answer"
  const cannot = `is not stored at this gateway, and the other gateways of its fleet cannot be asked: ${why}. Try again shortly, or send`
  await t.rejects(
    store.find(OWNER, [id], async () => {}),
    {
      code: 'GW_FLEET_SILENT',
      message: `Item with id '${id}' ${cannot} the item itself instead of a reference.`
    }
  )
  for (const asked of [responseId, `${responseId}.input`])
    await t.rejects(
      store.find(OWNER, [asked], async () => {}),
      {
        code: 'GW_FLEET_SILENT',
        message: `Response with id '${responseId}' ${cannot} the whole conversation as input.`
      }
    )
})
