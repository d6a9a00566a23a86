import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lchownSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  createPrivateFile,
  makeFolder,
  linksIn,
  makeInnerFolder,
  makePrivateFolder,
  openPrivateFile,
  removeDrafts,
  replaceFile
} from '../../src/shared/private-files.ts'

const modeOf = (path: string): number => statSync(path).mode & 0o777

for (const isDurable of [false, true]) {
  const replaced = { text: 'new', mode: 0o600, isDurable }
  t.test(`replaceFile(), ${isDurable ? '' : 'not '}durable`, (t) => {
    t.test('replaces text and mode', async (t) => {
      const dir = t.testdir({ file: 'old' })
      await replaceFile(join(dir, 'file'), replaced)
      t.equal(readFileSync(join(dir, 'file'), 'utf8'), 'new')
      t.equal(modeOf(join(dir, 'file')), 0o600)
      t.same(readdirSync(dir), ['file'])
    })

    t.test('leaves everything as it was when it cannot replace the file', async (t) => {
      const dir = t.testdir({ file: { inside: 'a folder is in the way' } })
      await t.rejects(replaceFile(join(dir, 'file'), replaced), { code: /EISDIR|ENOTEMPTY/ })
      t.same(readdirSync(dir), ['file'])
    })

    t.test('rejects where there is no folder', async (t) => {
      await t.rejects(replaceFile(join(t.testdir(), 'no', 'file'), replaced), { code: 'ENOENT' })
    })

    t.test('replaces a link, and not what it leads to', async (t) => {
      const dir = t.testdir({ target: 'old', file: t.fixture('symlink', 'target') })
      await replaceFile(join(dir, 'file'), replaced)
      t.notOk(lstatSync(join(dir, 'file')).isSymbolicLink())
      t.equal(readFileSync(join(dir, 'target'), 'utf8'), 'old')
    })
    t.end()
  })
}

t.test('makeFolder()', async (t) => {
  const dir = t.testdir({ file: 'in the way' })

  await t.test('makes what is missing, open to us alone, also for many at once', async (t) => {
    const folder = join(dir, 'a', 'b', 'c')
    await Promise.all(Array.from({ length: 20 }, () => makeFolder(folder)))
    t.same([modeOf(folder), modeOf(join(dir, 'a'))], [0o700, 0o700])
  })

  await t.test('rejects where none can be made', async (t) => {
    await t.rejects(makeFolder(join(dir, 'file')), { code: 'EEXIST' })
    const skip = process.platform !== 'linux' && 'no such file system'
    await t.test('in a file system that takes none', { skip }, async (t) => {
      await t.rejects(makeFolder('/proc/none/of/them'), { code: 'ENOENT' })
    })
  })
})

t.test('makeInnerFolder()', async (t) => {
  const dir = t.testdir({
    other: {},
    link: t.fixture('symlink', 'other'),
    gone: t.fixture('symlink', 'x')
  })
  chmodSync(join(dir, 'other'), 0o755)
  await t.rejects(makeInnerFolder(join(dir, 'link')), { code: 'ELOOP', message: /link is a link/ })
  await t.rejects(makeInnerFolder(join(dir, 'gone')), 'nor is what is missing made')
  await makeInnerFolder(join(dir, 'new', 'inner'))
  t.equal(modeOf(join(dir, 'new', 'inner')), 0o700)
  t.equal(modeOf(join(dir, 'other')), 0o755, 'what the link leads to is as it was')
  t.same(readdirSync(dir).toSorted(), ['gone', 'link', 'new', 'other'])
  t.same((await linksIn(dir)).toSorted(), ['gone', 'link'])
  t.same(await linksIn(join(dir, 'none')), [])
})

t.test('createPrivateFile()', async (t) => {
  const dir = t.testdir({ taken: 'old', link: t.fixture('symlink', 'target') })
  await createPrivateFile(join(dir, 'file'), 'new')
  t.equal(readFileSync(join(dir, 'file'), 'utf8'), 'new')
  t.equal(modeOf(join(dir, 'file')), 0o600)
  for (const name of ['taken', 'link']) {
    await t.rejects(createPrivateFile(join(dir, name), 'new'), { code: 'EEXIST' }, name)
  }
  t.equal(readFileSync(join(dir, 'taken'), 'utf8'), 'old')
  t.notOk(readdirSync(dir).includes('target'), 'the link leads nowhere still')
})

t.test('removeDrafts() removes what killed processes have left, and nothing else', async (t) => {
  const id = '0b0c0d0e-0000-4000-8000-000000000000'
  const [dead, young] = [`.file.${id}.tmp`, `.file.${id.replace('0b', '1b')}.tmp`]
  const others = ['.file.kiro-gateway.lock', `.file2.${id}.tmp`, '.file.mine.tmp', 'file']
  const dir = t.testdir(Object.fromEntries([dead, young, ...others].map((name) => [name, ''])))
  const old = new Date(Date.now() - 120_000)
  for (const name of [dead, ...others]) utimesSync(join(dir, name), old, old)
  await removeDrafts(join(dir, 'file'))
  t.same(readdirSync(dir).toSorted(), [young, ...others].toSorted())
  await removeDrafts(join(dir, 'no', 'folder'))
})

t.test('createPrivateFile() leaves nothing on a disk that is full', (t) => {
  const path = join(t.testdir(), 'file')
  const code = `import('${import.meta.dirname}/../../src/shared/private-files.ts')
    .then(({ createPrivateFile }) => createPrivateFile(process.argv[1], 'text'))
    .catch(({ code }) => console.error(code))`
  // No file may grow, which a process hears as of a full disk. Its environment would have it write files of its own.
  const script = 'ulimit -f 0; exec env -i "$@"'
  const args = ['-c', script, 'sh', process.execPath, '-e', code, path]
  const { stderr } = spawnSync('sh', args, { encoding: 'utf8' })
  t.match(stderr, 'EFBIG')
  t.notOk(existsSync(path))
  t.end()
})

t.test('openPrivateFile() does not wait for what a pipe may say', async (t) => {
  const path = join(t.testdir(), 'pipe')
  execFileSync('mkfifo', [path])
  await using file = await openPrivateFile(path)
  t.notOk((await file.stat()).isFile())
  t.equal((await file.read(Buffer.alloc(8))).bytesRead, 0)
})

t.test('openPrivateFile() follows no link', async (t) => {
  const dir = t.testdir({ file: 'text', link: t.fixture('symlink', 'file') })
  await using file = await openPrivateFile(join(dir, 'file'))
  t.equal(await file.readFile('utf8'), 'text')
  await t.rejects(openPrivateFile(join(dir, 'link')), { code: 'ELOOP' })
})

t.test('folders', async (t) => {
  t.test('are open to us alone where they are new', async (t) => {
    const dir = t.testdir()
    await makeFolder(join(dir, 'a', 'b'))
    await makePrivateFolder(join(dir, 'c', 'd'))
    for (const name of ['a', 'a/b', 'c', 'c/d']) t.equal(modeOf(join(dir, name)), 0o700, name)
  })

  t.test('stay as the operator made them, and are closed where they are ours', async (t) => {
    const dir = t.testdir({ theirs: {}, ours: {} })
    for (const name of ['theirs', 'ours']) chmodSync(join(dir, name), 0o755)
    await makeFolder(join(dir, 'theirs'))
    await makePrivateFolder(join(dir, 'ours'))
    t.same([modeOf(join(dir, 'theirs')), modeOf(join(dir, 'ours'))], [0o755, 0o700])
  })

  t.test('may be links of ours', async (t) => {
    const dir = t.testdir({ target: {}, link: t.fixture('symlink', 'target') })
    await makeFolder(join(dir, 'link'))
    await makePrivateFolder(join(dir, 'link'))
    t.ok(lstatSync(join(dir, 'link')).isSymbolicLink())
    t.equal(modeOf(join(dir, 'target')), 0o700)
  })

  t.test(
    'are never links of another user',
    { skip: process.getuid?.() !== 0 && 'only root can make a link for another user' },
    async (t) => {
      const dir = t.testdir({ target: {}, link: t.fixture('symlink', 'target') })
      lchownSync(join(dir, 'link'), 4321, 4321)
      for (const make of [makeFolder, makePrivateFolder]) {
        await t.rejects(make(join(dir, 'link')), { code: 'ELOOP', message: /another user/ })
      }
    }
  )

  t.test('are not made where a file is in the way', async (t) => {
    const dir = t.testdir({ file: '' })
    await t.rejects(makeFolder(join(dir, 'file', 'folder')), { code: 'ENOTDIR' })
    await t.rejects(makeFolder(join(dir, 'file')), { code: 'EEXIST' })
  })
})
