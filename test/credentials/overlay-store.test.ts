import {
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { OverlayStore, type Successor } from '../../src/credentials/vault.ts'
import { recordedLog } from '../helper/recorded-log.ts'

const successor: Successor = {
  derivedFrom: 'h',
  replaces: 'x',
  accessToken: 'secret-a2',
  refreshToken: 'secret-r2',
  expiresAt: Date.parse('2026-09-01T00:59:00Z'),
  profileArn: null
}

function createStore(stateDir: string) {
  const recorded = recordedLog()
  const store = new OverlayStore(stateDir, 'id', recorded.log)
  return { store, ...recorded }
}

t.test('OverlayStore', (t) => {
  t.test('has nothing before the first save, and says nothing about it', async (t) => {
    const { store, lines } = createStore(join(t.testdir(), 'not', 'there'))
    t.equal(await store.load(), null)
    t.same(lines, [])
  })
  t.test('keeps tokens for its owner only', async (t) => {
    const { store } = createStore(join(t.testdir(), 'state'))
    await store.save(successor)
    t.same(await store.load(), successor)
    t.equal(statSync(store.path).mode & 0o777, 0o600)
    t.equal(statSync(dirname(store.path)).mode & 0o777, 0o700)
    t.match(readFileSync(store.path, 'utf8'), '"expiresAt": "2026-09-01T00:59:00.000Z"')
    t.same(readdirSync(dirname(store.path)), ['id.json'], 'no draft is left')
  })
  t.test('keeps members that it does not know', async (t) => {
    const dir = t.testdir({ credentials: { 'id.json': '{"note":"mine","accessToken":"old"}' } })
    const { store } = createStore(dir)
    await store.save(successor)
    t.match(JSON.parse(readFileSync(store.path, 'utf8')), {
      note: 'mine',
      accessToken: 'secret-a2'
    })
  })
  t.test('ignores a damaged file, says so, and replaces it', async (t) => {
    for (const damage of [
      '',
      '{"derivedFrom":"h","acc',
      '[]',
      JSON.stringify({ ...successor, expiresAt: 'x' }),
      JSON.stringify({ ...successor, accessToken: 'a\nb' }),
      JSON.stringify({ ...successor, refreshToken: 'a\nb' }),
      JSON.stringify({ note: 'x'.repeat(1024 * 1024) })
    ]) {
      const dir = t.testdir({ credentials: { 'id.json': damage } })
      const { store, text } = createStore(dir)
      t.equal(await store.load(), null)
      t.match(text(), 'overlay file is damaged and ignored')
      t.notMatch(text(), 'secret')
      await store.save(successor)
      t.same(await store.load(), successor)
    }
  })
  t.test('rejects when it cannot write, and leaves nothing behind', async (t) => {
    const dir = t.testdir({ file: '' })
    const { store } = createStore(join(dir, 'file'))
    await t.rejects(store.save(successor), { code: 'ENOTDIR' })
    t.equal(await store.load(), null)
  })
  t.test('believes no link and no file of another user', async (t) => {
    const dir = t.testdir({ credentials: {}, real: JSON.stringify(successor) })
    const { store, text } = createStore(dir)
    symlinkSync(join(dir, 'real'), store.path)
    t.equal(await store.load(), null)
    t.match(text(), /overlay file cannot be read/)
    await store.save(successor)
    t.notOk(lstatSync(store.path).isSymbolicLink(), 'its own takes the place')
    if (process.geteuid?.() !== 0) return
    chownSync(store.path, 4242, 4242)
    t.equal(await store.load(), null)
    t.match(text(), /overlay file belongs to another user/)
  })
  t.test('reports a file that it may not read', async (t) => {
    const dir = t.testdir({ credentials: {} })
    mkdirSync(join(dir, 'credentials', 'id.json'))
    const { store, text } = createStore(dir)
    t.equal(await store.load(), null)
    t.match(text(), 'overlay file cannot be read')
  })
  t.end()
})
