import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { LineWriter } from '../../src/observe/line-writer.ts'

const url = pathToFileURL(join(import.meta.dirname, '../../src/observe/line-writer.ts')).href

/** Runs a script in which `writer` writes to standard output and `fs` is Node's own, to be tampered with. */
async function run(body: string, stdout: 'pipe' | number = 'pipe') {
  const script = `
    import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    const { LineWriter } = await import(${JSON.stringify(url)})
    const writer = new LineWriter(1)
    const { writeSync } = fs
    const failing = (code) => { fs.writeSync = () => { throw Object.assign(new Error(code), { code }) }; syncBuiltinESMExports() }
    const working = (most = 4096) => { fs.writeSync = (fd, bytes) => writeSync(fd, bytes.subarray(0, most)); syncBuiltinESMExports() }
    ${body}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', stdout, 'pipe']
  })
  const [output, errors, [code]] = await Promise.all([
    child.stdout === null ? '' : text(child.stdout),
    child.stderr === null ? '' : text(child.stderr),
    once(child, 'exit')
  ])
  return { output, errors, code: code as unknown }
}

function fileIn(t: Test): string {
  return join(t.testdir(), 'out')
}

t.test('writes lines in order and at once', async (t) => {
  const path = fileIn(t)
  const fd = openSync(path, 'w')
  const writer = new LineWriter(fd)
  writer.write('one\n')
  t.equal(readFileSync(path, 'utf8'), 'one\n')
  writer.write('zwölf\n')
  closeSync(fd)
  t.equal(readFileSync(path, 'utf8'), 'one\nzwölf\n')
})

t.test('a full disk ends nothing', { skip: process.platform !== 'linux' }, async (t) => {
  const full = openSync('/dev/full', 'w')
  const { errors, code } = await run("writer.write('lost\\n'); console.error('alive')", full)
  closeSync(full)
  t.equal(errors, 'alive\n')
  t.equal(code, 0)
})

t.test('what follows a lost line is written again', async (t) => {
  const { output } = await run(
    "failing('ENOSPC'); writer.write('lost\\n'); working(); writer.write('kept\\n')"
  )
  t.equal(output, 'kept\n')
})

t.test('a line in pieces is written whole', async (t) => {
  const { output } = await run("working(2); writer.write('a long line\\n')")
  t.equal(output, 'a long line\n')
})

t.test('a line that breaks off does not swallow the next', async (t) => {
  const { output } = await run(`
    let calls = 0
    fs.writeSync = (fd, bytes) => {
      if (calls++ === 1) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
      return writeSync(fd, bytes.subarray(0, 3))
    }
    syncBuiltinESMExports()
    writer.write('half a line\\n'); writer.write('next\\n')`)
  t.equal(output, 'hal\nnext\n')
})

t.test('a busy pipe is waited for, but not for ever', async (t) => {
  const { output, errors } = await run(`
    let calls = 0
    fs.writeSync = (fd, bytes) => {
      if (calls++ < 3) throw Object.assign(new Error('busy'), { code: 'EAGAIN' })
      return writeSync(fd, bytes)
    }
    syncBuiltinESMExports()
    writer.write('late\\n')
    failing('EAGAIN')
    writer.write('never\\n')
    const startedAt = performance.now()
    for (let i = 0; i < 20; i++) writer.write('never\\n')
    if (performance.now() - startedAt > 500) console.error('waited for each line')
    working()
    writer.write('after\\n')`)
  t.equal(output, 'late\nafter\n')
  t.equal(errors, '')
})
