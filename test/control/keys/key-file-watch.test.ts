import { EventEmitter, once } from 'node:events'
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { KeyFileWatch } from '../../../src/control/keys/key-file-watch.ts'
import { changeKeys, keysPath, readKeys } from '../../../src/keys/key-store.ts'
import type { KnownKeys, NamedKey } from '../../../src/keys/key.ts'
import { hashOfKey, namedKey } from '../../helper/named-key.ts'
import { recordedLog } from '../../helper/recorded-log.ts'

const ben = namedKey({ id: 'k_2', name: 'ben', hashes: [hashOfKey('ben')] })

const shared = (key: NamedKey) => [key.id, { key, edits: 2, editedAt: 5 }] as const

function rig(t: Test, read = readKeys) {
  const stateDir = t.testdir({})
  const path = keysPath(stateDir)
  const { log, text } = recordedLog()
  const events = new EventEmitter<{ change: [KnownKeys] }>()
  const keyFile = new KeyFileWatch({
    stateDir,
    log,
    onChange: (book) => events.emit('change', book),
    pollMs: 5,
    read
  })
  const alive = setInterval(() => {}, 1_000) // KeyFileWatch's timer keeps no process alive
  t.teardown(() => {
    clearInterval(alive)
    keyFile.close()
  })
  const put = (...keys: readonly NamedKey[]) =>
    changeKeys(path, () => keys, new AbortController().signal)
  /** Keys after `change` was reported. A change before it is reported twice if it came while the file was read. */
  const after = async (change: () => unknown): Promise<KnownKeys> => {
    const next = once(events, 'change')
    await change()
    await next
    while (!(await keyFile.look())) await new Promise((resolve) => setTimeout(resolve, 2))
    return keyFile.knownKeys
  }
  const says = async (pattern: RegExp): Promise<void> => {
    while (!pattern.test(text())) await new Promise((resolve) => setTimeout(resolve, 2))
  }
  return { keyFile, path, put, after, says, text }
}

t.test('KeyFileWatch', (t) => {
  t.test('has no keys, asks for none, and makes no file without one', async (t) => {
    const { keyFile, text } = rig(t)
    await keyFile.start()
    t.same(keyFile.knownKeys, { isKeyRequired: false, keys: [] })
    t.equal(text(), '')
  })

  t.test('ends what a fleet has ended, whatever its file says', async (t) => {
    const { keyFile, put, after, text } = rig(t)
    const [other] = [hashOfKey('old')]
    const anna = namedKey({ hashes: [...namedKey().hashes, other] })
    await keyFile.start()
    await after(() => put(anna, ben))
    const revokedAt = Date.now() - 1_000
    const ended = { ...anna, hashes: [...namedKey().hashes, { ...other, until: revokedAt }] }
    const known = new Map([shared(ended), shared({ ...ben, revokedAt })])
    const told = await after(() => keyFile.applyEnds({ keys: known, gone: new Set() }))
    t.same(told.keys, [ended, { ...ben, revokedAt }])
    const ann = { ...anna, name: 'ann' }
    const later = await after(() => put(ann, ben))
    t.same(
      later.keys,
      [
        { ...ended, name: 'ann' },
        { ...ben, revokedAt }
      ],
      'also when it is read'
    )
    const gone = await after(() => keyFile.applyEnds({ keys: new Map(), gone: new Set([ben.id]) }))
    t.same(gone, { isKeyRequired: true, keys: [ann] })
    const before = text()
    keyFile.applyEnds({ keys: new Map(), gone: new Set([ben.id]) })
    t.equal(text(), before, 'the same again changes nothing')
  })

  t.test('tells of every change', async (t) => {
    const { keyFile, put, after } = rig(t)
    await keyFile.start()
    t.same(await after(() => put(namedKey())), { isKeyRequired: true, keys: [namedKey()] })
    t.same(await after(() => put(namedKey(), ben)), {
      isKeyRequired: true,
      keys: [namedKey(), ben]
    })
    const revoked = { ...ben, revokedAt: 1 }
    t.same((await after(() => put(revoked))).keys, [revoked])
    t.same(keyFile.knownKeys.keys, [revoked])
  })

  t.test('keeps the keys that it has while the file is damaged', async (t) => {
    const { keyFile, path, put, after, says } = rig(t)
    await put(namedKey())
    await keyFile.start()
    writeFileSync(path, '{"version": 1, "keys": [')
    await says(/named keys cannot be reloaded/)
    t.same(keyFile.knownKeys.keys, [namedKey()])
    await after(() => rmSync(path))
    await after(() => put(ben))
    t.same(keyFile.knownKeys.keys, [ben])
  })

  t.test('reads a file again that could not be read, although it has not changed', async (t) => {
    let failures = 0
    const { keyFile, put, after, text } = rig(t, (path) => {
      if (failures === 0) return readKeys(path)
      failures -= 1
      return Promise.reject(new Error('too many open files'))
    })
    await put(namedKey())
    await keyFile.start()
    failures = 3
    const revoked = { ...namedKey(), revokedAt: 1 }
    t.same((await after(() => put(revoked))).keys, [revoked])
    t.equal(text().match(/named keys cannot be reloaded/g)?.length, 1)
  })

  t.test('says whether what the file says is in force', async (t) => {
    const outcome = { isReadable: true }
    const { keyFile, put } = rig(t, async (path) => {
      if (outcome.isReadable) return readKeys(path)
      throw new Error('EIO')
    })
    await keyFile.start()
    await put(namedKey())
    t.equal(await keyFile.look(), true)
    outcome.isReadable = false
    await put(namedKey(), ben)
    t.equal(await keyFile.look(), false)
    outcome.isReadable = true
    t.equal(await keyFile.look(), true)
    t.same(keyFile.knownKeys.keys, [namedKey(), ben])
  })

  t.test('opens nothing where the file vanishes', async (t) => {
    const { keyFile, path, put, after, text } = rig(t)
    await put(namedKey())
    await keyFile.start()
    t.same(await after(() => rmSync(path)), { isKeyRequired: true, keys: [] })
    t.match(text(), 'the file of named keys is missing')
  })

  t.test('does not start with a file that it cannot use', async (t) => {
    const { keyFile, path } = rig(t)
    writeFileSync(path, '{"version": 2, "keys": []}')
    await t.rejects(keyFile.start(), { code: 'GW_CONFIG_INVALID', message: /newer version/ })
  })

  t.test('warns once of a file that others can read', async (t) => {
    const { keyFile, path, put, after, text } = rig(t)
    await put(namedKey())
    chmodSync(path, 0o644)
    await keyFile.start()
    await after(() => chmodSync(path, 0o640))
    t.equal(text().match(/chmod 600/g)?.length, 1)
  })
  t.end()
})
