import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { isNightly } from '../helper/nightly.ts'
import { inTerminal, ShownGateway } from '../helper/shown-gateway.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const STREAM = 'sim:events=30 sim:gap=50'

function start(t: Test, command?: string): Promise<ShownGateway> {
  const env = { WORKERS: '1', LOG_LEVEL: 'info' }
  return ShownGateway.start(t, {
    place: 'terminal',
    env,
    ...(command !== undefined && { command })
  })
}

t.test('one Ctrl-C under npm start', inTerminal, async (t) => {
  t.test('lets a running stream end whole, and says what still runs', async (t) => {
    const gateway = await start(t, 'exec npm start')
    const call = startChat(gateway.url, 'sim:events=100 sim:gap=50') // a busy machine takes long to say so
    await call.firstBytes
    gateway.interrupt()
    await gateway.shows(/1 request is still running, for up to 30 s\. Press Ctrl-C again/)
    t.ok(isComplete(await call.answer))
    const [code] = await once(gateway.child, 'exit')
    t.equal(code, 0)
    t.notMatch(gateway.text, /worker died|second signal/)
  })

  t.test('a second one ends it', async (t) => {
    const gateway = await start(t, 'exec npm start')
    const call = startChat(gateway.url, 'sim:events=1000 sim:gap=50')
    await call.firstBytes
    gateway.interrupt()
    await gateway.shows(/Press Ctrl-C again/)
    gateway.interrupt()
    t.equal((await call.answer).isCut, true)
    if (gateway.child.exitCode === null) await once(gateway.child, 'exit')
    t.match(gateway.text, 'second signal, exiting now')
  })
})

t.test('a terminal that is closed', inTerminal, async (t) => {
  for (const [what, command] of [
    ...(isNightly ? ([['with the gateway in it', undefined]] as const) : []),
    ['with npm start in it', 'exec npm start'],
    ['with the gateway in the background of a shell', 'exec bash --norc -ic "npm start & wait"']
  ] as const) {
    t.test(`${what}: running streams end whole, then it is gone`, async (t) => {
      const gateway = await start(t, command)
      const call = startChat(gateway.url, STREAM)
      await call.firstBytes
      gateway.closeTerminal()
      t.ok(isComplete(await call.answer))
      await silent(gateway.url)
      t.pass('it has ended')
    })
  }

  t.test('a gateway under nohup goes on, and reads its settings again', async (t) => {
    const gateway = new ShownGateway({
      place: 'terminal',
      env: { WORKERS: '1' },
      command: `exec nohup ${process.execPath} src/start.js > $HOME/log 2>&1`
    })
    t.teardown(() => gateway.stop())
    const log = join(gateway.folder, 'log')
    const [, url = ''] = await written(log, /"url":"(http:[^"]+)".*"gateway ready"/)
    const { pid } = gateway
    t.teardown(() => process.kill(pid, 'SIGKILL'))
    gateway.closeTerminal()
    await written(log, /"settings reloaded"/)
    t.equal((await fetch(`${url}/health`)).status, 200)
  })
})

t.test('SIGHUP in a terminal that is there reads the settings again', inTerminal, async (t) => {
  const gateway = await start(t)
  process.kill(gateway.pid, 'SIGHUP')
  await gateway.shows(/settings reloaded/)
  t.notMatch(gateway.text, /draining/)
})

/** Resolves when nobody listens there any more. */
async function silent(url: string): Promise<void> {
  while (
    await fetch(`${url}/health`).then(
      () => true,
      () => false
    )
  )
    await delay(20)
}

async function written(path: string, pattern: RegExp): Promise<RegExpExecArray> {
  for (;;) {
    const found = existsSync(path) ? pattern.exec(readFileSync(path, 'utf8')) : null
    if (found !== null) return found
    await delay(20)
  }
}
