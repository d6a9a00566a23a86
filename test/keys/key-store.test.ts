import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { changeKeys, keysPath, makeKey, makeKeyId, readKeys } from '../../src/keys/key-store.ts'
import type { NamedKey } from '../../src/keys/key.ts'
import { hashOfKey, namedKey } from '../helper/named-key.ts'

const never = new AbortController().signal

function add(path: string, key: NamedKey): Promise<readonly NamedKey[]> {
  return changeKeys(path, (keys) => [...keys, key], never)
}

function another(): NamedKey {
  const { sha256 } = makeKey()
  const id = makeKeyId()
  return namedKey({ id, name: id.replaceAll(/[_-]/g, 'x'), hashes: [{ sha256, until: null }] })
}

t.test('changeKeys()', (t) => {
  t.test('makes folder and file for its owner alone', async (t) => {
    const folder = join(t.testdir({}), 'new', 'state')
    const path = keysPath(folder)
    t.equal(await readKeys(path), null)
    await add(path, namedKey())
    t.equal(statSync(path).mode & 0o777, 0o600)
    t.equal(statSync(folder).mode & 0o777, 0o700)
    t.match(await readKeys(path), { keys: [namedKey()], warnings: [] })
    t.same(readdirSync(folder), ['keys.json'], 'nothing else stays')
  })

  t.test('loses none of what many change at once', async (t) => {
    const path = keysPath(t.testdir({}))
    const keys = Array.from({ length: 12 }, another)
    await Promise.all(keys.map((key) => add(path, key)))
    const found = await readKeys(path)
    t.same(found?.keys.map(({ id }) => id).toSorted(), keys.map(({ id }) => id).toSorted())
  })

  t.test('changes nothing where there is something wrong', async (t) => {
    const folder = t.testdir({ 'keys.json': '{"version": 2, "keys": []}' })
    const path = keysPath(folder)
    await t.rejects(add(path, namedKey()), { code: 'GW_CONFIG_INVALID', message: /newer version/ })
    t.equal(readFileSync(path, 'utf8'), '{"version": 2, "keys": []}')
    const good = keysPath(join(folder, 'good'))
    await add(good, namedKey())
    const before = readFileSync(good, 'utf8')
    const bad = namedKey({ id: 'k_2', name: 'a/b', hashes: [hashOfKey('b')] })
    await t.rejects(add(good, bad), { code: 'GW_CONFIG_INVALID' }, 'what could not be read again')
    await t.rejects(
      add(good, another()).then(() => Promise.reject(new Error('no'))),
      /no/
    )
    const refusal = new Error('there is one')
    const refuse = (): never => {
      throw refusal
    }
    const after = readFileSync(good, 'utf8')
    t.not(after, before)
    await t.rejects(changeKeys(good, refuse, never), refusal)
    t.equal(readFileSync(good, 'utf8'), after)
    t.same(readdirSync(join(folder, 'good')), ['keys.json'])
  })

  t.test('says so where the folder cannot be made', async (t) => {
    const folder = t.testdir({ file: '' })
    const path = keysPath(join(folder, 'file', 'state'))
    await t.rejects(add(path, namedKey()), {
      code: 'GW_CONFIG_INVALID',
      message: /keys\.json cannot be written \(ENOTDIR\)/
    })
  })

  const isRoot = process.geteuid?.() === 0
  const skip = isRoot ? false : 'only root can give files away'
  t.test(
    'leaves the file to whom the folder belongs, however often root writes',
    { skip },
    async (t) => {
      const folder = t.testdir({})
      const path = keysPath(folder)
      chownSync(folder, 1234, 1234)
      await add(path, another())
      t.equal(statSync(path).uid, 1234)
      await add(path, another())
      t.match(statSync(path), { uid: 1234, gid: 1234 })
      t.equal((await readKeys(path))?.keys.length, 2)
      chownSync(path, 4321, 4321)
      await t.rejects(readKeys(path), { message: /belongs to another user \(uid 4321\)/ })
    }
  )
  t.end()
})

t.test('readKeys()', (t) => {
  t.test('warns of a file that others can read', async (t) => {
    const path = keysPath(t.testdir({}))
    await add(path, namedKey())
    chmodSync(path, 0o644)
    t.match(await readKeys(path), { keys: [{ name: 'anna' }], warnings: [`chmod 600 ${path}`] })
    await add(path, another())
    t.same((await readKeys(path))?.warnings, [], 'written again, it is private again')
  })

  t.test('believes no link, no folder and no giant', async (t) => {
    const folder = t.testdir({ link: {}, folder: {}, giant: {}, real: '{"version":1,"keys":[]}' })
    symlinkSync(join(folder, 'real'), keysPath(join(folder, 'link')))
    mkdirSync(keysPath(join(folder, 'folder')))
    writeFileSync(keysPath(join(folder, 'giant')), Buffer.alloc(4 * 1024 * 1024 + 1, ' '))
    for (const [name, message] of [
      ['link', /is a symbolic link/],
      ['folder', /is not a plain file/],
      ['giant', /is too large/]
    ] as const) {
      const path = keysPath(join(folder, name))
      await t.rejects(readKeys(path), { code: 'GW_CONFIG_INVALID', message }, name)
    }
  })
  t.end()
})

t.test('makeKey()', async (t) => {
  const { text, sha256 } = makeKey()
  t.match(text, /^kgw_[\w-]{43}$/)
  t.equal(sha256, hashOfKey(text).sha256)
  t.not(makeKey().text, text)
})
