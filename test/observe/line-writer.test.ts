import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { LineWriter } from '../../src/observe/logger.ts'

const url = pathToFileURL(join(import.meta.dirname, '../../src/observe/logger.ts')).href

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

/**
 * A pipe that nobody reads until it is read whole, and the descriptor to write to. That one stays open: a `LineWriter`
 * may still try to write, and the number would be somebody else's.
 */
function unreadPipe(t: Test) {
  const path = join(t.testdir(), 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  const chunk = Buffer.alloc(1024 * 1024)
  const read = (): string => {
    let read = ''
    try {
      for (let length = 1; length > 0; ) {
        length = readSync(reader, chunk)
        read += chunk.toString('utf8', 0, length)
      }
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error
    }
    return read
  }
  return { writer, read, stop: () => closeSync(reader) }
}

const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `line ${from + i} ${'x'.repeat(1000)}\n`)

t.test('a reader that stands still holds nobody up', async (t) => {
  t.test('gets every line in order as far as they are kept, and hears of the rest', async (t) => {
    const { writer: fd, read } = unreadPipe(t)
    const writer = new LineWriter(fd, 100_000)
    writer.onLoss((lines) => writer.write(`lost ${lines}\n`))
    const lines = numbered(0, 1000)
    for (const line of lines) writer.write(line)
    t.ok(writer.lost > 700, `${writer.lost} lost`)
    let got = read()
    while (!got.includes('lost')) {
      await soon()
      got += read()
    }
    const kept = lines.length - writer.lost
    t.equal(got, `${lines.slice(0, kept).join('')}lost ${writer.lost}\n`)
    writer.write('next\n')
    t.equal(read(), 'next\n', 'and is not told twice')
  })

  t.test('that comes back in time loses nothing', async (t) => {
    const { writer: fd, read } = unreadPipe(t)
    const writer = new LineWriter(fd, 100_000)
    const lines = numbered(0, 120)
    for (const line of lines) writer.write(line)
    let got = read()
    while (got.length < lines.join('').length) {
      await soon()
      got += read()
    }
    t.equal(got, lines.join(''))
    t.equal(writer.lost, 0)
  })

  t.test('that is gone for good costs the lines and nothing else', async (t) => {
    const { writer: fd, read, stop } = unreadPipe(t)
    const writer = new LineWriter(fd, 10_000)
    for (const line of numbered(0, 100)) writer.write(line)
    const taken = read().split('\n').length - 1
    stop()
    writer.flush(5000)
    writer.write('nobody reads it\n')
    t.equal(writer.lost, 101 - taken)
  })
})

t.test('flush()', async (t) => {
  t.test('writes what waits', async (t) => {
    const { writer: fd, read } = unreadPipe(t)
    const writer = new LineWriter(fd)
    const lines = numbered(0, 120)
    for (const line of lines) writer.write(line)
    const before = read()
    writer.flush(5000)
    t.equal(before + read(), lines.join(''))
  })

  t.test('gives up after its time', async (t) => {
    const { writer: fd } = unreadPipe(t)
    const writer = new LineWriter(fd)
    for (const line of numbered(0, 120)) writer.write(line)
    const startedAt = performance.now()
    writer.flush(100)
    t.ok(performance.now() - startedAt >= 90)
  })
})

t.test('a line of which the pipe takes a part goes on where it stopped', async (t) => {
  const { output } = await run(`
    let calls = 0
    fs.writeSync = (fd, bytes) => {
      if (++calls % 2 === 0) throw Object.assign(new Error('busy'), { code: 'EAGAIN' })
      return writeSync(fd, bytes.subarray(0, 3))
    }
    syncBuiltinESMExports()
    writer.write('one line\\n'); writer.write('next\\n')
    writer.flush(5000)`)
  t.equal(output, 'one line\nnext\n')
})

t.test('openOutput()', { skip: process.platform !== 'linux' }, async (t) => {
  const report = `
    const { openOutput } = await import(${JSON.stringify(url)})
    const fd = openOutput(1)
    const flags = (fd) => parseInt(/flags:\\s*(\\d+)/.exec(fs.readFileSync('/proc/self/fdinfo/' + fd, 'utf8'))[1], 8)
    const { O_NONBLOCK } = fs.constants
    console.error(JSON.stringify({ isOwn: fd !== 1, waits: (flags(fd) & O_NONBLOCK) === 0, othersWait: (flags(1) & O_NONBLOCK) === 0 }))`
  t.test('has a pipe for itself, and leaves its other users alone', async (t) => {
    const { writer } = unreadPipe(t)
    const { errors } = await run(report, writer)
    t.same(JSON.parse(errors), { isOwn: true, waits: false, othersWait: true })
  })
  t.test('shares a socket, which then makes nobody wait', async (t) => {
    const { errors } = await run(report)
    t.same(JSON.parse(errors), { isOwn: false, waits: false, othersWait: false })
  })
  t.test('shares a file and its position', async (t) => {
    const file = openSync(fileIn(t), 'w')
    const { errors } = await run(report, file)
    closeSync(file)
    t.same(JSON.parse(errors), { isOwn: false, waits: true, othersWait: true })
  })
})

const soon = (): Promise<void> => new Promise(setImmediate)
