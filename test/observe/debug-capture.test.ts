import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { DebugCapture } from '../../src/observe/debug-capture.ts'

function setUp(folder: string, maxFiles = 3) {
  const warnings: string[] = []
  let now = Date.UTC(2026, 10, 24)
  const capture = new DebugCapture({
    folder,
    maxFiles,
    log: { warn: (_facts: unknown, message: string) => void warnings.push(message) },
    now: () => now++
  })
  return { capture, warnings }
}

t.test('keep()', async (t) => {
  t.test('writes a file for us alone, in a folder for us alone', async (t) => {
    const folder = join(t.testdir({}), 'debug')
    const { capture } = setUp(folder)
    await capture.keep('../r/1', { code: 'GW_X' })
    const [name] = readdirSync(folder)
    t.match(name, /^20261124T000000000Z-r1-[0-9a-f]{8}\.json$/)
    t.same(JSON.parse(readFileSync(join(folder, name!), 'utf8')), { code: 'GW_X' })
    t.equal(statSync(join(folder, name!)).mode & 0o777, 0o600)
    t.equal(statSync(folder).mode & 0o777, 0o700)
  })

  t.test('requests of one id in one millisecond have a file each', async (t) => {
    const folder = t.testdir({})
    const at = Date.UTC(2026, 10, 24)
    const warnings: string[] = []
    const warn = (_facts: unknown, message: string) => void warnings.push(message)
    const options = { folder, maxFiles: 9, log: { warn }, now: () => at }
    const workers = [new DebugCapture(options), new DebugCapture(options)]
    const kept = workers.flatMap((capture, worker) =>
      [1, 2].map((request) => capture.keep('same', { of: `${worker}/${request}` }))
    )
    await Promise.all(kept)
    const found = readdirSync(folder).map((name): unknown => {
      return JSON.parse(readFileSync(join(folder, name), 'utf8')).of
    })
    t.same(new Set(found), new Set(['0/1', '0/2', '1/1', '1/2']))
    t.same(warnings, [])
  })

  t.test('keeps the newest and leaves alone what is not its own', async (t) => {
    const folder = t.testdir({})
    writeFileSync(join(folder, '.gitkeep'), '')
    const { capture } = setUp(folder)
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map((id) => capture.keep(id, {})))
    const names = readdirSync(folder).toSorted()
    t.same(
      names.map((name) => name.replace(/^.*Z-|-[0-9a-f]{8}/g, '')),
      ['.gitkeep', 'c.json', 'd.json', 'e.json']
    )
  })

  t.test('leaves files out where the disk is slower than the requests', async (t) => {
    const folder = t.testdir({})
    const { capture } = setUp(folder, 100)
    await Promise.all(Array.from({ length: 50 }, (_, index) => capture.keep(`r${index}`, {})))
    t.equal(readdirSync(folder).length, 16)
    await capture.keep('later', {})
    t.equal(readdirSync(folder).length, 17)
  })

  t.test('cuts what is too long', async (t) => {
    const folder = t.testdir({})
    await setUp(folder).capture.keep('a', { text: 'x'.repeat(3 * 1024 * 1024) })
    const [name] = readdirSync(folder)
    t.ok(statSync(join(folder, name!)).size < 1.1 * 1024 * 1024)
  })

  t.test('warns once where it cannot write', async (t) => {
    const folder = join(t.testdir({ file: '' }), 'file')
    const { capture, warnings } = setUp(folder)
    await capture.keep('a', {})
    await capture.keep('b', {})
    t.match(warnings, [/DEBUG_DIR/])
    t.equal(warnings.length, 1)
  })
})
