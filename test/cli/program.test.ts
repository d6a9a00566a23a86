import t from 'tap'
import { listSettings } from '../../src/config/setting-text.ts'
import { commandNames, loadCommand } from '../../src/cli/program/commands.ts'
import { version } from '../../src/shared/version.ts'
import { runKiroGateway } from '../helper/cli-process.ts'
import { runCommandHere } from '../helper/command-here.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

t.test('kiro-gateway', async (t) => {
  const cwd = t.testdir({})
  const run = (...args: readonly string[]) => runKiroGateway(args, { cwd })
  const runHere = (...args: readonly string[]) => runCommandHere(args, { cwd })

  await t.test('--help fits a screen', async (t) => {
    for (const args of [['--help'], ['-h'], ['help'], ['--port', '1', '--help']]) {
      const { code, stdout, stderr } = await run(...args)
      t.same([code, stderr], [0, ''], args.join(' '))
      for (const name of commandNames())
        t.match(stdout, new RegExp(`\n {2}${name} {2,}[A-Z].*\\.\n`))
      const rows = stdout.split('\n')
      t.ok(rows.length < 40, `${rows.length} rows, and one for the next prompt`)
      t.equal(Math.max(...rows.map((row) => row.length)) <= 80, true, stdout)
    }
    const { stdout } = await runHere('--help')
    const listed = listSettings().filter(({ setting }) => stdout.includes(`\n  ${setting.env} `))
    t.equal(listed.length, 10, 'ten settings')
  })

  await t.test('--help settings lists all of them', async (t) => {
    for (const args of [
      ['--help', 'settings'],
      ['help', 'settings']
    ]) {
      const { code, stdout } = await runHere(...args)
      t.equal(code, 0)
      for (const option of ['--host', '--port', '--version']) t.match(stdout, `\n  ${option}`)
      for (const { setting } of listSettings()) t.match(stdout, `\n  ${setting.env}\n`)
    }
  })

  await t.test('prints its version', async (t) => {
    t.same(await run('--version'), { code: 0, stdout: `${version}\n`, stderr: '' })
  })

  await t.test('each command says what it takes', async (t) => {
    for (const name of commandNames()) {
      for (const args of [
        [name, '--help'],
        [name, '-h', '--json'],
        ['help', name],
        ['--help', name]
      ]) {
        const { code, stdout, stderr } = await runHere(...args)
        t.same([code, stderr], [0, ''], args.join(' '))
        t.match(stdout, `Usage: kiro-gateway ${name}`)
        for (const option of Object.keys((await loadCommand(name))?.options ?? {})) {
          t.match(stdout, `\n  --${option}`)
        }
        t.match(stdout, /\n {2}--json .*\n {2}--help /)
        const [first = ''] = /^.*\n(?= {2}-)/m.exec(stdout) ?? []
        t.equal(first, '\n', 'options stand apart')
      }
    }
  })

  await t.test('says which command was meant', async (t) => {
    t.match(await run('lgoin'), {
      code: 2,
      stdout: '',
      // As it was called: from the sources, or from a folder of packages.
      stderr:
        /^(?:npx kiro-gateway|node \S+): unknown command "lgoin"\. Was "login" meant\? .*login, logout/
    })
    t.match((await runHere('logot')).stderr, 'Was "logout" meant?')
    t.notMatch((await runHere('nope')).stderr, 'meant')
    for (const word of ['start', 'serve', 'run'])
      t.match((await runHere(word)).stderr, 'Without a command, it starts the gateway.')
    const json = await runHere('launch', '--json')
    t.equal(JSON.parse(json.stdout).error.code, 'usage')
    t.match(await runHere('launch'), {
      code: 2,
      stderr: /unknown command "launch"\. The commands are /
    })
    t.match(await runHere('x'.repeat(100_000)), { code: 2, stderr: /unknown command "x{32}…"/ })
    t.match(await runHere('__proto__'), { code: 2, stderr: /unknown command/ })
    t.notMatch((await runHere('\u001b[31m')).stderr, '\u001b')
  })

  await t.test(
    'says what is wrong in one sentence, and the usage of that action alone',
    async (t) => {
      const { stderr } = await runHere('key', 'add', 'anna', '--credit', '5')
      t.equal(
        stderr,
        `kiro-gateway key: there is no option --credit. Was --credits meant?

Usage: kiro-gateway key add NAME [LIMITS]

"kiro-gateway key --help" explains it.
`
      )
      t.match(await runHere('setup', 'claud'), {
        code: 2,
        stderr: /"claud" is not known. Was "claude" meant\?/
      })
      const otto = await runHere('usage', '--key', 'otto')
      t.match(otto, { code: 2, stderr: /There is no key "otto"|usage\.db does not exist yet/ })
    }
  )

  await t.test('names commands as it was called, and pages by their address', async (t) => {
    const clone = await runCommandHere(['whoami'], { cwd, program: 'node src/start.js' })
    t.match(clone.stdout, 'Sign in with: node src/start.js login')
    const help = await runCommandHere(['--help', 'doctor'], { cwd, program: 'npx kiro-gateway' })
    t.match(help.stdout, 'Usage: npx kiro-gateway doctor')
    for (const name of commandNames()) {
      const called = await runCommandHere(['--help', name], { cwd, program: 'npx kiro-gateway' })
      t.match(called.stdout, `Usage: npx kiro-gateway ${name}`)
    }
    t.match(help.stdout, /https:\/\/github\.com\/.*\/docs\/doctor\.md/)
    const json = await runCommandHere(['login', '--json', '--nope'], {
      cwd,
      program: 'npx kiro-gateway'
    })
    t.equal(JSON.parse(json.stdout).error.code, 'usage')
  })

  await t.test('says what is wrong with the options', async (t) => {
    for (const args of [['login', '--nope'], ['logout', 'now'], ['key'], ['login', '--region']]) {
      const { code, stdout, stderr } = await runHere(...args)
      t.same([code, stdout], [2, ''], args.join(' '))
      t.match(stderr, new RegExp(`^kiro-gateway ${args[0]}: .+\n\nUsage: kiro-gateway ${args[0]}`))
    }
  })

  await t.test('says that the file of settings cannot be read', async (t) => {
    const { code, stderr } = await runKiroGateway(['logout'], { cwd, env: { ENV_FILE: 'none' } })
    t.match({ code, stderr }, { code: 0, stderr: /^ENV_FILE cannot be read, .*ENOENT.*\n$/ })
  })

  await t.test('says it in JSON, too', async (t) => {
    const { code, stdout } = await run('login', '--json', '--provider=aol')
    t.equal(code, 2)
    t.match(JSON.parse(stdout), {
      error: { code: 'usage', message: /builder-id, google or github/ }
    })
  })
})
