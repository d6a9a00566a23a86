import { execFileSync } from 'node:child_process'
import t from 'tap'
import { NOBODY, ownersIn, strangersIn, wordsOf } from '../helper/own-words.ts'

/** What a program says that runs with memory filled. */
function run(program: string): string {
  const preload = new URL('../helper/unwritten-memory.ts', import.meta.url).href
  const args = [`--import=${preload}`, '--input-type=module', '--eval', program]
  return execFileSync(process.execPath, args, { encoding: 'utf8', stdio: 'pipe' })
}

/** A program that says what is in memory of each kind. */
function program(beginning: string): string {
  return `${beginning}
    for (const bytes of [100, 100_000])
      for (const of of [Buffer.allocUnsafe(bytes), Buffer.allocUnsafeSlow(bytes)]) say(of.toString())
  `
}

t.test('memory that was not written', async (t) => {
  t.test('has the words of nobody, whoever allocates it', async (t) => {
    const inThread = `
      import { parentPort } from 'node:worker_threads'
      const say = (text) => parentPort.postMessage(text)
    `
    const ways = {
      process: `import { writeSync } from 'node:fs'
        ${program("const say = (text) => writeSync(1, text + '\\n')")}`,
      thread: `
        import { writeSync } from 'node:fs'
        import { Worker } from 'node:worker_threads'
        const code = 'data:text/javascript,' + encodeURIComponent(${JSON.stringify(program(inThread))})
        new Worker(new URL(code)).on('message', (text) => writeSync(1, text + '\\n'))
      `
    }
    for (const [name, way] of Object.entries(ways)) {
      const lines = run(way).trim().split('\n')
      t.equal(lines.length, 4, name)
      for (const line of lines) t.same([...ownersIn(line)], [NOBODY], name)
    }
  })

  t.test('cannot be sent', async (t) => {
    const said = run(`
      import { once } from 'node:events'
      import { createServer, connect } from 'node:net'
      const server = createServer((socket) => socket.resume())
      await once(server.listen(0, '127.0.0.1'), 'listening')
      const ways = [
        (socket) => socket.write('text'),
        (socket) => socket.write(Buffer.allocUnsafe(50)),
        (socket) => socket.write('a text with ' + Buffer.allocUnsafe(50)),
        (socket) => {
          socket.cork()
          socket.write('one')
          socket.write(Buffer.allocUnsafe(50))
          socket.uncork()
        }
      ]
      for (const way of ways) {
        const socket = connect(server.address().port, '127.0.0.1')
        await once(socket, 'connect')
        try {
          way(socket)
          console.log('sent')
        } catch (error) {
          console.log(error.message)
        }
      }
      process.exit()
    `)
    const refused = 'memory that was not written was to be sent'
    t.same(said.trim().split('\n'), ['sent', refused, refused, refused])
  })
})

t.test('own words', async (t) => {
  const text = `${wordsOf('anna', 100)}${wordsOf('bert-2', 50)}`
  t.same([...ownersIn(text)], ['anna', 'bert-2'])
  t.same(strangersIn(text, 'anna'), ['bert-2'])
  t.same(strangersIn(wordsOf('anna', 1), 'anna'), [])
  t.ok(wordsOf('anna', 1000).length >= 1000)
})
