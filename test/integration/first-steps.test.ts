import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FakeSignInServices } from '../helper/fake-sign-in-services.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const ENTRY = join(import.meta.dirname, '../../src/start.js')

function hasTerminals(): boolean {
  try {
    execFileSync('script', ['--version'])
    return true
  } catch {
    return false // a system without util-linux
  }
}

/** Runs it at a terminal of its own. */
function atTerminal(t: Test, command: string, env: Readonly<Record<string, string>> = {}) {
  const cwd = t.testdir({})
  const child = spawn(
    'script',
    ['-qefc', `exec ${process.execPath} ${ENTRY} ${command}`, '/dev/null'],
    {
      cwd,
      env: { PATH: process.env['PATH'] ?? '', HOME: cwd, SERVER_PORT: '0', TERM: 'dumb', ...env }
    }
  )
  t.teardown(() => child.stdin.end())
  const ended = once(child, 'close').then(([code]) => code as number)
  let text = ''
  const watchers = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
    for (const check of watchers) check()
  })
  const shows = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        if (pattern.test(text)) resolve()
      }
      watchers.add(check)
      void ended.then(() => reject(new Error(`it ended and never showed ${pattern}:\n${text}`)))
      check()
    })
  return { child, ended, shows, shown: () => text }
}

t.test('at a terminal', { skip: hasTerminals() ? false : 'there is no script(1)' }, async (t) => {
  await t.test('a gateway without credentials says what to type', async (t) => {
    const { child, ended, shows, shown } = atTerminal(t, '')
    await shows(/so a simulator answers\. For Claude Code on your Kiro\s+subscription/)
    await shows(/ node .*start\.js login && node .*start\.js setup claude && node .*start\.js\s/)
    t.ok(shown().trim().split('\n').length <= 8, shown())
    child.stdin.write('\u0003') // Ctrl-C
    t.equal(await ended, 0)
  })

  await t.test('login counts down while it waits', async (t) => {
    const services = await new FakeSignInServices().listen()
    t.teardown(() => services.close())
    const { ended, shows, shown } = atTerminal(t, 'login', { KIRO_OIDC_URL: services.url })
    await shows(/Waiting for you to confirm the code · \d+:\d\d left/)
    services.device = 'confirmed'
    t.equal(await ended, 0)
    t.match(shown(), '\r\u001b[2KSigned in with AWS Builder ID.')
  })

  await t.test('the browser may come back to another machine', async (t) => {
    const services = await new FakeSignInServices().listen()
    t.teardown(() => services.close())
    const { child, ended, shows, shown } = atTerminal(
      t,
      'login --provider=google --callback-port=0',
      { KIRO_AUTH_URL: services.url }
    )
    await shows(/Address: /)
    const [link = ''] = /https:\/\/app\.kiro\.dev\/\S+/.exec(shown()) ?? []
    child.stdin.write(`${services.browse(link)}\n`)
    t.equal(await ended, 0)
    t.match(shown(), /Signed in with Google\./)
  })
})
