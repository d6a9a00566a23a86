import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { skipByDay } from '../helper/nightly.ts'
import { generate, upstreamRequest } from '../helper/simulator-request.ts'

t.setTimeout(180_000) // real processes, on a machine that may be busy

const OWN = fileURLToPath(new URL('../../src/simulator/main.ts', import.meta.url))
const ALONE = fileURLToPath(new URL('../strict-simulator/main.ts', import.meta.url))

const WRITE = {
  tools: [
    {
      toolSpecification: {
        name: 'write',
        description: 'Writes.',
        inputSchema: { json: { type: 'object', properties: {} } }
      }
    }
  ]
}

t.test('started alone', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    t.test(`prints where it listens and ends cleanly on ${signal}`, async (t) => {
      const child = spawn(process.execPath, [ALONE, '--port', '0'])
      t.teardown(() => child.kill('SIGKILL'))
      const [line] = (await once(child.stdout, 'data')) as [Buffer]
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line.toString())![0]
      t.equal((await fetch(`${url}/__simulator/stats`)).status, 200)
      child.kill(signal)
      t.same(await once(child, 'exit'), [0, null])
    })
  }
})

t.test('started by fork()', async (t) => {
  t.test('tells its port, prints nothing and ends with the channel', async (t) => {
    const child = fork(OWN, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
    t.teardown(() => child.kill('SIGKILL'))
    let printed = ''
    child.stdout!.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
    })
    const [message] = await once(child, 'message')
    t.match(message, { type: 'simulator.ready', port: Number })
    child.kill('SIGINT') // a Ctrl-C that also reached the parent, which is not done yet
    child.kill('SIGHUP')
    t.equal((await fetch(`http://127.0.0.1:${message.port}/`)).status, 404, 'it serves on')
    child.disconnect()
    t.same(await once(child, 'exit'), [0, null])
    t.equal(printed, '')
  })

  t.test(
    'answers a crowd with long conversations in a heap of 64 MB',
    { skip: skipByDay },
    async (t) => {
      const execArgv = ['--max-old-space-size=64', '--max-semi-space-size=2']
      const child = fork(OWN, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv })
      t.teardown(() => child.kill('SIGKILL'))
      const [{ port }] = await once(child, 'message')
      const url = `http://127.0.0.1:${port}`
      const body = JSON.stringify(upstreamRequest(`${'some words '.repeat(18_000)} sim:stall`))
      const left = new AbortController()
      // They stall behind their first bytes, so all are open at once.
      const answers = await Promise.all(
        Array.from({ length: 300 }, async () => {
          const response = await generate(url, body, {}, left.signal)
          const reader = response.body?.getReader()
          const first = await reader?.read()
          return response.status === 200 && (first?.value?.byteLength ?? 0) > 0
        })
      )
      t.notOk(answers.includes(false))
      left.abort()
      t.equal(child.exitCode, null)
    }
  )

  t.test(
    'survives arguments that are nested too deeply, and millions of events',
    { skip: skipByDay },
    async (t) => {
      const execArgv = ['--max-old-space-size=64', '--max-semi-space-size=2']
      const child = fork(OWN, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv })
      t.teardown(() => child.kill('SIGKILL'))
      const [{ port }] = await once(child, 'message')
      const url = `http://127.0.0.1:${port}`
      const deep = `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`
      const prompts = [`use tool write with ${deep}`, 'sim:events=100000000 sim:stall']
      for (const prompt of prompts) {
        const left = new AbortController()
        const body = JSON.stringify(upstreamRequest(prompt, { context: WRITE }))
        const response = await generate(url, body, {}, left.signal)
        await response.body?.getReader().read()
        left.abort()
      }
      t.equal((await fetch(`${url}/`)).status, 404, 'it serves on')
    }
  )

  t.test('ends cleanly on SIGTERM', async (t) => {
    const child = fork(OWN, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    t.teardown(() => child.kill('SIGKILL'))
    await once(child, 'message')
    child.kill('SIGTERM')
    t.same(await once(child, 'exit'), [0, null])
  })
})
