import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  readClientFile,
  removeClientFile,
  wantedMode,
  writeClientFile
} from '../../../src/cli/setup/client-files.ts'

function modeOf(path: string): number {
  return statSync(path).mode & 0o777
}

t.test('readClientFile()', async (t) => {
  t.test('tells a file that is missing from its folders', async (t) => {
    const home = t.testdir()
    const file = await readClientFile(join(home, '.config', 'opencode', 'opencode.json'))
    t.equal(file.text, null)
    t.same(file.missingFolders, [join(home, '.config'), join(home, '.config', 'opencode')])
  })

  t.test('refuses what it could not write', async (t) => {
    const home = t.testdir({ folder: {}, 'read-only.json': '{}' })
    chmodSync(join(home, 'read-only.json'), 0o444)
    await t.rejects(readClientFile(join(home, 'read-only.json')), {
      code: 'GW_CLIENT_FILE',
      message: /read-only/
    })
    await t.rejects(readClientFile(join(home, 'folder')), {
      code: 'GW_CLIENT_FILE',
      message: /not a file/
    })
    await t.rejects(readClientFile(join(home, 'read-only.json', 'below')), {
      code: 'GW_CLIENT_FILE'
    })
  })

  t.test('refuses what is not UTF-8, or very large', async (t) => {
    const home = t.testdir()
    writeFileSync(join(home, 'utf-16.json'), Buffer.from('{}', 'utf16le').fill(0xff, 0, 1))
    await t.rejects(readClientFile(join(home, 'utf-16.json')), { message: /not in UTF-8/ })
    writeFileSync(join(home, 'large.json'), Buffer.alloc(5 * 1024 * 1024, ' '))
    await t.rejects(readClientFile(join(home, 'large.json')), { message: /too large/ })
  })

  t.test('keeps a byte order mark', async (t) => {
    const path = join(t.testdir({ 'a.json': '\ufeff{}' }), 'a.json')
    t.equal((await readClientFile(path)).text, '\ufeff{}')
  })

  t.test('ends with links that lead in a circle', async (t) => {
    const home = t.testdir()
    symlinkSync(join(home, 'b'), join(home, 'a'))
    symlinkSync(join(home, 'a'), join(home, 'b'))
    await t.rejects(readClientFile(join(home, 'a')), { message: /broken symbolic link/ })
  })
})

t.test('writeClientFile()', async (t) => {
  t.test('makes the file, and its folders, for its owner alone', async (t) => {
    const path = join(t.testdir(), 'one', 'two', 'a.json')
    const file = await readClientFile(path)
    await writeClientFile(file, '{}', wantedMode(file, true))
    t.equal(readFileSync(path, 'utf8'), '{}')
    t.same([modeOf(path), modeOf(join(path, '..'))], [0o600, 0o700])
  })

  t.test('writes through links, which stay', async (t) => {
    const home = t.testdir({ dotfiles: { 'a.json': 'old' } })
    const path = join(home, 'a.json')
    symlinkSync(join('dotfiles', 'a.json'), path)
    const file = await readClientFile(path)
    await writeClientFile(file, 'new', 0o600)
    t.equal(readlinkSync(path), join('dotfiles', 'a.json'))
    t.equal(readFileSync(join(home, 'dotfiles', 'a.json'), 'utf8'), 'new')
  })

  t.test('makes the file that a link leads to', async (t) => {
    const home = t.testdir()
    const path = join(home, 'a.json')
    symlinkSync(join(home, 'dotfiles', 'a.json'), path)
    await writeClientFile(await readClientFile(path), 'new', 0o600)
    t.ok(lstatSync(path).isSymbolicLink())
    t.equal(readFileSync(join(home, 'dotfiles', 'a.json'), 'utf8'), 'new')
  })

  t.test('leaves both names of a file that has two', async (t) => {
    const home = t.testdir({ 'a.json': 'a longer text' })
    linkSync(join(home, 'a.json'), join(home, 'b.json'))
    await writeClientFile(await readClientFile(join(home, 'a.json')), 'new', 0o600)
    t.equal(readFileSync(join(home, 'b.json'), 'utf8'), 'new')
  })

  t.test('refuses a file that has changed since it was read', async (t) => {
    const path = join(t.testdir({ 'a.json': 'old' }), 'a.json')
    const file = await readClientFile(path)
    writeFileSync(path, 'changed')
    await t.rejects(writeClientFile(file, 'new', 0o600), { message: /changed by another program/ })
    t.equal(readFileSync(path, 'utf8'), 'changed')
  })

  t.test('closes a file to others where a key comes into it', async (t) => {
    const path = join(t.testdir({ 'a.json': '' }), 'a.json')
    chmodSync(path, 0o644)
    const file = await readClientFile(path)
    t.same([wantedMode(file, true), wantedMode(file, false)], [0o600, 0o644])
  })
})

t.test('removeClientFile()', async (t) => {
  t.test(
    'removes the folders that were made for it, unless something else is in them',
    async (t) => {
      const home = t.testdir()
      const path = join(home, 'one', 'two', 'a.json')
      const { missingFolders } = await readClientFile(path)
      mkdirSync(join(path, '..'), { recursive: true })
      writeFileSync(path, '{}')
      writeFileSync(join(home, 'one', 'log.txt'), '')
      await removeClientFile(await readClientFile(path), missingFolders)
      t.same([existsSync(join(home, 'one')), existsSync(join(home, 'one', 'two'))], [true, false])
    }
  )
})
