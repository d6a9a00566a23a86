import { execFile } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type { CommandCall } from '../../src/cli/command.ts'
import { launchAgent, readFacts, systemdUnit } from '../../src/cli/service/definition.ts'
import { requireLastingProgram } from '../../src/cli/service/install-plan.ts'
import { install, stop, uninstall } from '../../src/cli/service/install.ts'
import { Launchd } from '../../src/cli/service/launchd.ts'
import { followLogFile, LOG_FILE, LogFile } from '../../src/cli/service/log-file.ts'
import { Programs } from '../../src/cli/service/programs.ts'
import type { ServiceFacts } from '../../src/cli/service/init-system.ts'
import { elsewhere } from '../../src/cli/service/service-place.ts'
import { showStatus } from '../../src/cli/service/status.ts'
import { sinceOf, Systemd, toState } from '../../src/cli/service/systemd.ts'
import { listSettings } from '../../src/config/setting-text.ts'
import { CliProcess } from '../helper/cli-process.ts'
import { freePort } from '../helper/free-port.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const run = promisify(execFile)

const FACTS: ServiceFacts = {
  node: '/opt/node/bin/node',
  entry: '/opt/kiro-gateway/src/start.js',
  folder: '/home/anna/kiro',
  envFile: null,
  lingers: true
}

t.test('systemdUnit()', async (t) => {
  const text = systemdUnit({ ...FACTS, envFile: '/etc/a b/.env' }, true)
  const unit = new Map(
    text.split('\n').map((line) => [line.split('=', 1)[0] ?? '', line.slice(line.indexOf('=') + 1)])
  )
  const drain = listSettings().find(({ setting }) => setting.env === 'DRAIN_TIMEOUT')
  const stopMs = Number(unit.get('TimeoutStopSec')) * 1000
  t.ok(stopMs > Number(drain?.setting.default), 'gives streams longer than DRAIN_TIMEOUT to end')
  t.equal(unit.get('KillMode'), 'mixed', 'and leaves the workers to the first process')
  t.equal(
    unit.get('RestartPreventExitStatus'),
    '2 78',
    'does not repeat what is configured wrongly'
  )
  t.equal(unit.get('MemoryMax'), '512M')
  t.notOk(unit.has('MemoryDenyWriteExecute'), 'V8 writes code while it runs')
  t.match(text, 'Environment="ENV_FILE=/etc/a b/.env"')
})

const hasSystemd = existsSync('/usr/bin/systemd-analyze')

t.test('systemd reads both units', { skip: !hasSystemd }, async (t) => {
  const folder = join(t.testdir(), 'a b%h$HOME')
  mkdirSync(folder)
  const entry = join(folder, `"'\\.js`)
  const program = join(folder, 'node')
  writeFileSync(program, '#!/bin/sh\n')
  chmodSync(program, 0o755)
  for (const isSystem of [false, true]) {
    const file = join(t.testdirName, `service-${isSystem}.service`)
    const text = systemdUnit({ ...FACTS, node: program, entry, folder }, isSystem)
    writeFileSync(file, text.replaceAll(/^(User|Group)=.*/gm, '$1=root'))
    const mode = isSystem ? '--system' : '--user'
    const words = ['verify', mode, '--man=no', '--recursive-errors=no', file]
    const said = await run('systemd-analyze', words, { env: { XDG_RUNTIME_DIR: folder } }).then(
      ({ stderr }) => stderr,
      (cause: unknown) => String(cause)
    )
    t.notMatch(said, 'service-', 'it finds the program, and knows every line')
  }
})

t.test('a definition says what it was made of', async (t) => {
  const facts = { ...FACTS, folder: '/home/a/--b" <&', envFile: '/x/.env', lingers: false }
  t.same(readFacts(systemdUnit(facts, false)), facts)
  t.same(readFacts(launchAgent(facts, 'label')), facts)
  t.equal(readFacts('[Unit]\nDescription=of somebody else\n'), null)
})

t.test('toState()', async (t) => {
  const running = {
    ActiveState: 'active',
    SubState: 'running',
    MainPID: '12',
    NRestarts: '1',
    ActiveEnterTimestamp: 'Tue 2026-12-01 08:10:11 UTC'
  }
  t.same(toState(running), {
    name: 'running',
    pid: 12,
    since: new Date('2026-12-01T08:10:11Z'),
    restarts: 1,
    lastExit: null,
    isCrashLoop: false
  })
  const failed = { ActiveState: 'failed', SubState: 'failed', MainPID: '0' }
  const killed = { ...failed, ExecMainCode: '2', ExecMainStatus: '9', NRestarts: '10' }
  t.match(toState(killed), { name: 'failed', pid: null, lastExit: 'signal 9', isCrashLoop: true })
  const refused = { ...failed, ExecMainCode: '1', ExecMainStatus: '78', NRestarts: '1' }
  t.match(toState(refused), { lastExit: 'exit code 78', isCrashLoop: false })
  t.equal(toState({ ActiveState: 'activating', SubState: 'auto-restart' }).name, 'starting')
  t.same(['10m', 'today'].map(sinceOf), ['-10m', 'today'])
})

t.test('requireLastingProgram()', async (t) => {
  const files = { node: FACTS.node, entry: FACTS.entry, installation: 'global' } as const
  t.same(requireLastingProgram(files, true), [])
  const npx = { ...files, installation: 'npx' } as const
  t.throws(() => requireLastingProgram(npx, false), {
    message: /npm install --global kiro-gateway/
  })
  const nvm = { ...files, node: '/home/a/.nvm/versions/node/v24.12.0/bin/node' }
  t.match(requireLastingProgram(nvm, false), [
    /^\/home\/a\/\.nvm\/.* belongs to one version of Node/
  ])
  t.throws(() => requireLastingProgram(nvm, true), { message: /system service cannot read \/home/ })
})

t.test('without systemd a supervisor is told a program that stays', async (t) => {
  const entry = '/home/a/.npm/_npx/0/node_modules/kiro-gateway/src/start.js'
  const npx = elsewhere({ entry, installation: 'npx' })
  t.notMatch(npx, '_npx', 'not one in a cache that npm may empty')
  t.match(npx, /npm install --global kiro-gateway[^]*run this command[^]*\n {2}kiro-gateway\n/)
  t.match(elsewhere({ entry: '/srv/src/start.js', installation: 'clone' }), ' /srv/src/start.js\n')
})

t.test(
  'service status shows the last lines of a stopped service as people read them',
  async (t) => {
    const { manager, said, call } = await fakeMac(t)
    mkdirSync(join(manager.file, '..'), { recursive: true })
    writeFileSync(manager.file, manager.define(FACTS))
    const log = join(t.testdirName, LOG_FILE)
    mkdirSync(join(log, '..'), { recursive: true })
    const text = 'It did not answer.'
    const err = { type: 'GatewayError', msg: text, code: 'GW_UPSTREAM_CONNECT' }
    const line = {
      level: 'warn',
      time: '2026-12-01T11:00:00.000Z',
      err,
      msg: 'model list unavailable'
    }
    writeFileSync(log, `${JSON.stringify(line)}\nSERVER_PORT is "many".\n`)
    t.equal(await showStatus(call(), manager), 1)
    const shown = said.join('\n')
    t.match(shown, /! model list unavailable: It did not answer\. \(GW_UPSTREAM_CONNECT\)/)
    t.match(shown, '  SERVER_PORT is "many".')
    t.notMatch(shown, '{"')
  }
)

/** Mac with a `launchctl` that writes down how it is called and knows what it was given. */
async function fakeMac(t: Test) {
  const home = t.testdir({ bin: {} })
  const tool = join(home, 'bin/launchctl')
  writeFileSync(
    tool,
    `#!/bin/sh
echo "$*" >> '${home}/calls'
case "$1" in
  bootstrap) touch '${home}/loaded' ;;
  bootout) rm '${home}/loaded' ;;
  print) [ -e '${home}/loaded' ] && printf '{\\n\\tpid = 4711\\n\\t\\tpid = 1\\n}\\n' ;;
esac
`
  )
  chmodSync(tool, 0o755)
  const { signal } = new AbortController()
  const programs = new Programs({ PATH: `${join(home, 'bin')}:/usr/bin:/bin` }, signal)
  const manager = new Launchd({ programs, home })
  const said: string[] = []
  const write = (line: string): void => void said.push(line)
  const terminal = { write, note: write, progress: () => {}, isInteractive: false } as never
  const port = await freePort()
  const env = { KIRO_API_KEY: `ksk_${'a'.repeat(32)}`, SERVER_PORT: String(port) }
  const calls = (): readonly string[] => {
    const lines = readFileSync(join(home, 'calls'), 'utf8').trim().split('\n')
    return lines.filter((line) => !line.startsWith('print'))
  }
  const call = (...values: readonly string[]): CommandCall => ({
    values: Object.fromEntries(values.map((name) => [name, true])),
    positionals: [],
    isJson: false,
    env,
    terminal,
    signal
  })
  return { manager, programs, said, calls, call, env, home, tools: join(home, 'bin') }
}

t.test('lingering that was on before is not the service’s', async (t) => {
  const { tools, home, programs, said, call } = await fakeMac(t)
  const tool = (name: string, script: string): void => {
    writeFileSync(join(tools, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(tools, name), 0o755)
  }
  tool('systemctl', 'echo ActiveState=inactive')
  tool('loginctl', 'echo yes')
  const manager = new Systemd({ programs, isSystem: false, home })
  const printed = async (...values: readonly string[]): Promise<string> => {
    said.length = 0
    await install(call('print', ...values), manager, programs)
    return said.join('\n')
  }
  t.match(await printed(), '"lingers":false', 'so that its removal leaves it on')
  tool('loginctl', 'echo no')
  t.match(await printed(), /"lingers":true[^]*loginctl enable-linger/)
  t.match(await printed('no-linger'), '"lingers":false')
  mkdirSync(join(manager.file, '..'), { recursive: true })
  writeFileSync(manager.file, manager.define(FACTS))
  tool('loginctl', 'echo yes')
  t.match(await printed(), '"lingers":true', 'an earlier installation has enabled it')
})

t.test('launchd', async (t) => {
  const { manager, programs, said, calls, call } = await fakeMac(t)
  const target = `gui/${process.getuid?.()}/io.github.kiro-gateway`
  await install(call('print'), manager, programs)
  t.notOk(existsSync(manager.file), 'printing writes nothing')
  t.match(said.join('\n'), '<key>KeepAlive</key>')
  const plan = manager.define(FACTS)
  mkdirSync(join(manager.file, '..'), { recursive: true })
  writeFileSync(manager.file, plan)
  const plist = readPlist(readFileSync(manager.file, 'utf8'))
  t.match(plist, {
    Label: 'io.github.kiro-gateway',
    ProgramArguments: [FACTS.node, FACTS.entry, 'service', 'run'],
    WorkingDirectory: FACTS.folder,
    EnvironmentVariables: { NODE_ENV: 'production' },
    KeepAlive: { SuccessfulExit: false },
    RunAtLoad: true,
    ExitTimeOut: 45
  })
  for (const step of await manager.enabling()) await step.run(() => {})
  await stop(call(), manager)
  t.match(await manager.state(), { name: 'running', pid: 4711 })
  for (const step of await manager.enabling()) await step.run(() => {})
  await uninstall(call('yes'), manager)
  t.notOk(existsSync(manager.file))
  t.same(calls(), [
    `enable ${target}`,
    `bootstrap gui/${process.getuid?.()} ${manager.file}`,
    `kill SIGTERM ${target}`,
    `bootout ${target}`,
    `enable ${target}`,
    `bootstrap gui/${process.getuid?.()} ${manager.file}`,
    `bootout ${target}`
  ])
})

/** Strict: elements that a property list has, each closed, and in a `dict` a key before each value. */
function readPlist(text: string): unknown {
  const body = text.replace(
    /^<\?xml [^>]*\?>\s*<!DOCTYPE plist [^>]*>\s*<!--(?:(?!--).)*-->\s*/,
    ''
  )
  const tokens = [...body.matchAll(/<(\/?)(\w+)(?: version="1\.0")?(\/?)>|([^<]+)/g)]
  const read = body.matchAll(/[^]/g)
  if ([...read].length !== tokens.reduce((sum, [token]) => sum + token.length, 0))
    throw new Error('there is something else in it')
  const words = tokens.map(([token]) => token.trim()).filter((token) => token !== '')
  const next = (): string => words.shift() ?? ''
  const expect = (word: string): void => {
    const found = next()
    if (found !== word) throw new Error(`${found} where ${word} belongs`)
  }
  const textOf = (name: string): string => {
    const found = next()
    expect(`</${name}>`)
    return found.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
  }
  const value = (): unknown => {
    const tag = next()
    if (tag === '<string>') return textOf('string')
    if (tag === '<integer>') return Number(textOf('integer'))
    if (tag === '<true/>' || tag === '<false/>') return tag === '<true/>'
    if (tag === '<array>') {
      const items: unknown[] = []
      while (words[0] !== '</array>') items.push(value())
      expect('</array>')
      return items
    }
    if (tag !== '<dict>') throw new Error(`${tag} is no value`)
    const pairs: [string, unknown][] = []
    while (words[0] !== '</dict>') {
      expect('<key>')
      pairs.push([textOf('key'), value()])
    }
    expect('</dict>')
    return Object.fromEntries(pairs)
  }
  expect('<plist version="1.0">')
  const found = value()
  expect('</plist>')
  return found
}

t.test('what launchd starts', { jobs: 2 }, async (t) => {
  t.test('keeps the log, passes signals on, and ends with the gateway', async (t) => {
    const home = t.testdir()
    const env = { SERVER_PORT: String(await freePort()), KIRO_CREDS: 'none' }
    const wrapper = new CliProcess(['service', 'run'], { cwd: home, env })
    t.teardown(() => wrapper.destroy())
    const log = join(home, LOG_FILE)
    const enough = new AbortController()
    const lines: string[] = []
    while (!existsSync(log)) await new Promise((resolve) => setTimeout(resolve, 50))
    await followLogFile(
      log,
      { follows: true, since: '1h' },
      {
        onLine: (line) => {
          lines.push(line)
          if (line.includes('"gateway ready"')) wrapper.child.kill('SIGHUP')
          if (/reload/.test(line)) wrapper.child.kill('SIGTERM')
          if (line.includes('"drained"')) enough.abort()
        },
        signal: enough.signal
      }
    ).catch(() => {}) // it has seen enough
    t.match(await wrapper.ended, { code: 0, stdout: '' })
    t.equal(statSync(log).mode & 0o777, 0o600)
  })
  t.test('ends with 0 where another start would change nothing', async (t) => {
    const env = { SERVER_PORT: 'many' }
    const wrapper = new CliProcess(['service', 'run'], { cwd: t.testdir(), env })
    t.match(await wrapper.ended, { code: 0 })
    t.match(readFileSync(join(t.testdirName, LOG_FILE), 'utf8'), /SERVER_PORT/)
  })
})

const SOURCES = `'${new URL('../../src/cli/service', import.meta.url).href}`
const LAUNCHD = `import { Launchd } from ${SOURCES}/launchd.ts'
const managerIn = (home) => new Launchd({ programs: null, home })
`
const SYSTEMD = `import { Programs } from ${SOURCES}/programs.ts'
import { Systemd } from ${SOURCES}/systemd.ts'
const managerIn = (home) =>
  new Systemd({ programs: new Programs({}, new AbortController().signal), isSystem: false, home })
`

/** Resolves with what `service logs --follow | head -n 1` shows, and the exit code of the former. */
async function followIntoHead(
  home: string,
  manager: string,
  { path = '/usr/bin:/bin', onShown = (): void => {} } = {}
) {
  const script = join(home, 'logs.ts')
  writeFileSync(
    script,
    `${manager}
import { showLogs } from ${SOURCES}/logs.ts'
import { writeFileSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
const manager = managerIn(${JSON.stringify(home)})
mkdirSync(dirname(manager.file), { recursive: true })
writeFileSync(manager.file, '')
process.stdout.on('error', () => {}) // as a terminal of commands has it
const terminal = { isRedrawn: false, write: (line) => process.stdout.write(line + '\\n') }
const { signal } = new AbortController()
process.exitCode = 10 + (await showLogs({ values: { follow: true }, terminal, signal }, manager))
`
  )
  const command = '{ "$0" --no-warnings "$1"; echo $? >&2; } | head -n 1' // a pipe, as shells make them
  const env = { ...process.env, PATH: path }
  const pipeline = run('sh', ['-c', command, process.execPath, script], { env })
  pipeline.child.stdout?.once('data', onShown)
  const { stdout, stderr } = await pipeline
  return [stdout, stderr]
}

t.test('service logs --follow ends at once when its reader has left', async (t) => {
  const home = t.testdir({ 'a.log': 'one\n' })
  const bin = join(home, 'bin')
  mkdirSync(bin)
  // tail watches the reader of its output as journalctl does.
  const journalctl = `#!/bin/sh\nexec tail -f '${join(home, 'a.log')}'\n`
  writeFileSync(join(bin, 'journalctl'), journalctl, { mode: 0o755 })
  const said = await followIntoHead(home, SYSTEMD, { path: `${bin}:/usr/bin:/bin` })
  t.same(said, ['one\n', '10\n'], 'although no other line comes')
})

t.test('at launchd it ends with the next line', async (t) => {
  const { home } = await fakeMac(t)
  const log = join(home, LOG_FILE)
  mkdirSync(join(log, '..'), { recursive: true })
  writeFileSync(log, 'one\n')
  let writing: NodeJS.Timeout | undefined
  const onShown = (): void => {
    writing = setInterval(() => appendFileSync(log, 'more\n'), 100)
  }
  const said = await followIntoHead(home, LAUNCHD, { onShown }).finally(() =>
    clearInterval(writing)
  )
  t.same(said, ['one\n', '10\n'])
})

t.test('LogFile', async (t) => {
  const file = join(t.testdir(), 'logs/gateway.log')
  {
    using log = new LogFile(file, 10)
    for (const text of ['one\n', 'two\n', 'three\n', 'four\n']) log.write(Buffer.from(text))
  }
  t.equal(readFileSync(`${file}.1`, 'utf8'), 'three\n')
  t.equal(readFileSync(file, 'utf8'), 'four\n')
  if (existsSync('/dev/full')) {
    using full = new LogFile('/dev/full')
    full.write(Buffer.from('one\n')) // on a full disk the gateway goes on, without a log
  }
  const lines: string[] = []
  const { signal } = new AbortController()
  const onLine = (line: string): void => void lines.push(line)
  await followLogFile(file, { follows: false, since: null }, { onLine, signal })
  t.same(lines, ['three', 'four'])
  const query = { follows: false, since: 'soon' }
  await t.rejects(followLogFile(file, query, { onLine, signal }), { name: 'UsageError' })
})
