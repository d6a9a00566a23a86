import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { type CliOutcome, runKiroGateway } from '../helper/cli-process.ts'
import { startGateway } from '../helper/gateway-process.ts'

/** `kiro-gateway setup` as its users call it: a process, a home folder, and a gateway that runs or does not. */

const KEY = 'a-key-of-the-gateway'
const NOBODY = 'http://127.0.0.1:9'

interface Home {
  readonly folder: string
  /** Runs a command in it. */
  readonly run: (argv: readonly string[], input?: string) => Promise<CliOutcome>
  readonly pathOf: (path: string) => string
}

function makeHome(t: Test, files: Readonly<Record<string, string>> = {}, env = {}): Home {
  const folder = t.testdir({ home: {}, work: {}, state: {} })
  const pathOf = (path: string): string => join(folder, 'home', path)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(pathOf(path)), { recursive: true })
    writeFileSync(pathOf(path), text)
  }
  const run = async (argv: readonly string[], input = ''): Promise<CliOutcome> => {
    const outcome = await runKiroGateway(['setup', ...argv], {
      cwd: join(folder, 'work'),
      env: {
        HOME: join(folder, 'home'),
        STATE_DIR: join(folder, 'state'),
        PROXY_API_KEY: KEY,
        ...env
      },
      input
    })
    t.notMatch(outcome.stdout + outcome.stderr, KEY, 'says no key')
    return outcome
  }
  return { folder, run, pathOf }
}

/** Everything in a folder, by its path. */
function contentOf(folder: string): Readonly<Record<string, string>> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  return Object.fromEntries(
    entries.map((entry) => {
      const path = join(entry.parentPath, entry.name)
      return [path.slice(folder.length), entry.isFile() ? readFileSync(path, 'latin1') : '']
    })
  )
}

t.setTimeout(600_000) // real processes, on a machine that may be busy

const CLIENTS = [
  'claude',
  'codex',
  'opencode',
  'qwen',
  'cline',
  'continue',
  'pi',
  'copilot',
  'kilo',
  'openclaw'
]

t.test('in an empty home, setup makes files that undo takes away with their folders', async (t) => {
  const { folder, run } = makeHome(t)
  const home = join(folder, 'home')
  for (const client of CLIENTS) {
    const done = await run([client, '--url', NOBODY, '--yes'])
    t.match(
      done,
      { code: 0, stdout: /^.* will use .* models\)\.\n {2}create .*home\/\..*: \d+ lines added\n/ },
      client
    )
    t.match(done.stderr, `No gateway answers at ${NOBODY} yet`)
    const made = Object.keys(contentOf(home)).filter((path) => statSync(join(home, path)).isFile())
    t.ok(made.length > 0)
    for (const path of made) t.equal(statSync(join(home, path)).mode & 0o777, 0o600, path)
    t.match(await run([client, '--undo', '--yes']), { code: 0, stdout: /is back as it was/ })
    t.same(contentOf(home), {}, client)
  }
  t.same(readdirSync(join(folder, 'state', 'setup')), [])
})

t.test('asks before it writes', async (t) => {
  const before = '{\r\n\t"theme": "dark", // mine\r\n}\r\n'
  const { run, pathOf } = makeHome(t, { '.claude/settings.json': before })
  const path = pathOf('.claude/settings.json')
  chmodSync(path, 0o644)
  const call = ['claude', '--url', NOBODY]
  const refused = await run(call, 'n\n')
  t.match(refused, { code: 1, stderr: /Write this\? \[y\/N\] Nothing was changed/ })
  t.match(
    refused.stdout,
    /\n {2}update .*settings.json: 5 lines added\nEach line that changes is shown with --print\.\n$/
  )
  const ended = await run(call)
  t.match(ended, { code: 2, stderr: /\[y\/N\] \n.* setup: .*standard input has ended.*--yes/ })
  t.notMatch(ended.stderr, /Usage:/, 'the command line is right')
  const { code, stdout } = await run([...call, '--print'])
  t.equal(code, 0)
  t.match(
    stdout,
    /^update .*settings.json\n {2}\{\n {2}\t"theme": "dark", \/\/ mine\n\+ \t"env": \{/
  )
  t.match(stdout, /"ANTHROPIC_AUTH_TOKEN": "\*\*\*"/)
  t.equal(readFileSync(path, 'utf8'), before)

  const done = await run(call, 'y\n')
  t.match(done, { code: 0, stdout: /now uses http:\/\/127.0.0.1:9. Start it with: claude/ })
  t.match(done.stderr, /readable only by you/)
  t.match(readFileSync(path, 'utf8'), `\t\t"ANTHROPIC_AUTH_TOKEN": "${KEY}",\r\n`)
  t.match(await run([...call, '--yes']), { code: 0, stdout: /is already set up like this/ })
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.match(await run(['claude', '--undo'], 'y\n'), { code: 0 })
  t.equal(readFileSync(path, 'utf8'), before)
  t.equal(statSync(path).mode & 0o777, 0o644)
  t.match(await run(['claude', '--undo']), { code: 0, stdout: /nothing to undo/ })
})

t.test('undo takes no notice of settings that are wrong', async (t) => {
  const { folder, run, pathOf } = makeHome(t)
  await run(['codex', '--url', NOBODY, '--yes'])
  writeFileSync(join(folder, 'work', '.env'), 'WORKERS=many\n')
  t.match(await run(['codex', '--print']), { code: 2, stderr: /WORKERS/ })
  t.match(await run(['codex', '--undo', '--yes']), { code: 0, stdout: /is back as it was/ })
  t.notOk(existsSync(pathOf('.codex')))
})

t.test('says what to do where nobody can answer', async (t) => {
  const { run, pathOf } = makeHome(t)
  t.match(await run(['codex', '--url', NOBODY]), {
    code: 2,
    stderr: /Use --yes to skip the question/
  })
  t.notOk(existsSync(pathOf('.codex')))
})

t.test('undo leaves what was changed since', async (t) => {
  const before = 'model = "gpt-5"\n'
  const { run, pathOf } = makeHome(t, { '.codex/config.toml': before })
  const path = pathOf('.codex/config.toml')
  await run(['codex', '--url', NOBODY, '--yes'])
  const after = readFileSync(path, 'utf8')
  writeFileSync(
    path,
    `# mine\n${after.replace('name = "Kiro"', 'name = "My Kiro"')}\n[tui]\ntheme = "x"\n`
  )
  const undone = await run(['codex', '--undo', '--yes'])
  t.match(undone, {
    code: 0,
    stderr: /Changed since.*config.toml: model_providers.kiro-gateway.name/
  })
  t.equal(
    readFileSync(path, 'utf8'),
    `# mine\n${before}\n[model_providers.kiro-gateway]\nname = "My Kiro"\n\n[tui]\ntheme = "x"\n`
  )
})

t.test('knows its command line', async (t) => {
  const { run } = makeHome(t)
  for (const argv of [
    [],
    ['none'],
    ['claude', 'codex'],
    ['claude', '--url', 'nowhere'],
    ['claude', '--undo', '--model', 'x'],
    ['claude', '--key', 'a b']
  ]) {
    t.match(
      await run(argv),
      { code: 2, stderr: /Usage: (?:npx )?kiro-gateway setup/ },
      argv.join(' ')
    )
  }
  t.match(await run(['--help']), {
    code: 0,
    stdout: /claude\|codex\|opencode\|qwen\|cline\|continue\|pi\|copilot\|kilo\|openclaw/
  })
})

t.test('asks the gateway for its models, and for its key', async (t) => {
  const gateway = await startGateway({
    env: { WORKERS: '1', PROXY_API_KEY: KEY, MODEL_ALIASES: 'my-own=claude-opus-5' }
  })
  t.teardown(() => gateway.destroy())
  const { run, pathOf } = makeHome(t)
  const call = ['opencode', '--url', `${gateway.url}/v1/`, '--yes']
  t.match(await run([...call, '--key', 'another-key']), { code: 1, stderr: /rejects this key/ })
  t.match(await run([...call, '--model', 'glm-1']), { code: 1, stderr: /"glm-1" does not exist/ })
  const done = await run([...call, '--key', '-', '--model', 'my-own', '--json'], `${KEY}\n`)
  t.equal(done.code, 0)
  t.match(JSON.parse(done.stdout), {
    client: 'opencode',
    action: 'setup',
    applied: true,
    files: [{ path: pathOf('.config/opencode/opencode.json'), change: 'create' }],
    notes: []
  })
  const written: unknown = JSON.parse(
    readFileSync(pathOf('.config/opencode/opencode.json'), 'utf8')
  )
  t.match(written, {
    model: 'kiro-gateway/my-own',
    provider: { 'kiro-gateway': { options: { baseURL: `${gateway.url}/v1`, apiKey: KEY } } }
  })
  const answer = await fetch(`${gateway.url}/v1/models`, {
    headers: { authorization: `Bearer ${KEY}` }
  })
  const { data } = (await answer.json()) as { readonly data: readonly { readonly id: string }[] }
  const { models } = (written as { provider: { 'kiro-gateway': { models: object } } }).provider[
    'kiro-gateway'
  ]
  t.same(Object.keys(models).toSorted(), data.map(({ id }) => id).toSorted())
})

t.test('a gateway without a key is sent something all the same', async (t) => {
  const { run, pathOf } = makeHome(t, {}, { PROXY_API_KEY: '' })
  const done = await run(['claude', '--url', NOBODY, '--yes'])
  t.match(done, { code: 0, stderr: /PROXY_API_KEY is not set/ })
  t.match(
    readFileSync(pathOf('.claude/settings.json'), 'utf8'),
    '"ANTHROPIC_AUTH_TOKEN": "no-key-needed"'
  )
})
