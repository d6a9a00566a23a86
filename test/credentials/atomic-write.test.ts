import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writeAtomically } from '../../src/credentials/atomic-write.ts'

t.test('writeAtomically()', (t) => {
  t.test('replaces text and mode', async (t) => {
    const dir = t.testdir({ file: 'old' })
    await writeAtomically(join(dir, 'file'), 'new', 0o600)
    t.equal(readFileSync(join(dir, 'file'), 'utf8'), 'new')
    t.equal(statSync(join(dir, 'file')).mode & 0o777, 0o600)
    t.same(readdirSync(dir), ['file'])
  })
  t.test('leaves everything as it was when it cannot replace the file', async (t) => {
    const dir = t.testdir({ file: { inside: 'a folder is in the way' } })
    await t.rejects(writeAtomically(join(dir, 'file'), 'new', 0o600), { code: /EISDIR|ENOTEMPTY/ })
    t.same(readdirSync(dir), ['file'])
  })
  t.test('rejects where there is no folder', async (t) => {
    await t.rejects(writeAtomically(join(t.testdir(), 'no', 'file'), 'x', 0o600), {
      code: 'ENOENT'
    })
  })
  t.end()
})
