import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const entry = join(import.meta.dirname, '../src/start.js')
const printsTypedWord = `const word: string = 'started'\nprocess.stdout.write(word)\n`

/** A project with nothing but the real `start.js`, an `engines` field and a small `main.ts`. */
function project(
  t: Test,
  engines: string,
  more: Readonly<Record<string, string | object>> = {}
): string {
  const root = t.testdir({
    'package.json': JSON.stringify({ type: 'module', engines: { node: engines } }),
    src: { 'main.ts': printsTypedWord },
    tmp: {},
    ...more
  })
  copyFileSync(entry, join(root, 'src/start.js'))
  return root
}

function start(
  root: string,
  env: Readonly<Record<string, string>> = {},
  flags: readonly string[] = [],
  args: readonly string[] = []
): Promise<Outcome> {
  const script = join(root, 'src/start.js')
  return new Promise((resolve) => {
    const options = { env: { TMPDIR: join(root, 'tmp'), ...env }, timeout: 20_000 }
    execFile(process.execPath, [...flags, script, ...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code)
      resolve({ code, stdout, stderr })
    })
  })
}

t.test('start.js', (t) => {
  t.test('says in one line that Node is too old, and exits with 78', async (t) => {
    const [major] = process.versions.node.split('.')
    for (const engines of ['>=99', `>=${major}.999`, `>=${process.versions.node}9`]) {
      const { code, stdout, stderr } = await start(project(t, engines))
      t.equal(code, 78, engines)
      t.equal(stdout, '')
      t.equal(stderr.trimEnd().split('\n').length, 1)
      t.match(stderr, `Node ${engines.slice(2)} or newer`)
      t.match(stderr, process.versions.node)
      t.match(stderr, 'npm ci && npm start')
    }
  })

  t.test('says in one line that a clone has no packages yet, and exits with 78', async (t) => {
    const lacking = { 'main.ts': "import 'a-package-that-is-not-there'\n" }
    const { code, stdout, stderr } = await start(project(t, '>=24', { src: lacking }))
    t.equal(code, 78)
    t.equal(stdout, '')
    t.match(
      stderr,
      /^kiro-gateway: the package a-package-that-is-not-there is not installed\. Run "npm ci" in .+ first\.\n$/
    )
    const broken = { 'main.ts': "import './a-file-that-is-not-there.ts'\n" }
    const other = await start(project(t, '>=24', { src: broken }))
    t.match(other, { code: 1, stderr: /a-file-that-is-not-there/ }, 'a file of its own is a bug')
  })

  t.test('hands over to the Node that was installed with it', async (t) => {
    const bundled = `node-${process.platform}-${process.arch}`
    const root = project(t, '>=99', {
      node_modules: { [bundled]: { 'package.json': '{"version":"99.1.0"}', bin: { node: '' } } }
    })
    const node = join(root, 'node_modules', bundled, 'bin/node')
    writeFileSync(node, '#!/bin/sh\necho "bundled: $2 $3"; echo "its errors" >&2; exit 7\n')
    chmodSync(node, 0o755)
    t.same(await start(root, {}, [], ['login', '--json']), {
      code: 7,
      stdout: 'bundled: login --json\n',
      stderr: 'its errors\n'
    })
    t.match(
      await start(root, {}, [], ['--warm-up']),
      { code: 0, stdout: '' },
      'not at its installation'
    )
  })

  t.test('passes signals on to it, and ends as it does', async (t) => {
    const bundled = `node-${process.platform}-${process.arch}`
    const root = project(t, '>=99', {
      node_modules: { [bundled]: { 'package.json': '{"version":"99.1.0"}', bin: { node: '' } } }
    })
    const node = join(root, 'node_modules', bundled, 'bin/node')
    const traps = `process.on('SIGHUP', () => console.log('got HUP'))
      .on('SIGTERM', () => { console.log('got TERM'); process.exitCode = 3; clearInterval(timer) })`
    writeFileSync(
      node,
      `#!${process.execPath}\nconst timer = setInterval(() => {}, 1000)\n${traps}\nconsole.log('waiting')\n`
    )
    chmodSync(node, 0o755)
    const child = spawn(process.execPath, [join(root, 'src/start.js')], { env: {} })
    t.teardown(() => child.kill('SIGKILL'))
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (said === 'waiting\n') child.kill('SIGHUP')
      if (said === 'waiting\ngot HUP\n') child.kill('SIGTERM')
    })
    const [code] = await once(child, 'close')
    t.same([code, said], [3, 'waiting\ngot HUP\ngot TERM\n'])
  })

  t.test('starts on the very version that is needed', async (t) => {
    for (const engines of ['>=16', '>=24.0', `>=${process.versions.node}`]) {
      t.match(await start(project(t, engines)), { code: 0, stdout: 'started', stderr: '' })
    }
  })

  t.test('runs what was built of the project where its TypeScript is not', async (t) => {
    const root = project(t, '>=16', {
      src: {},
      dist: { 'main.js': `process.stdout.write('built')` }
    })
    t.match(await start(root), { code: 0, stdout: 'built', stderr: '' })
    const clone = project(t, '>=16', { dist: { 'main.js': `process.stdout.write('old')` } })
    t.match(await start(clone), { code: 0, stdout: 'started', stderr: '' })
  })

  t.test('is given the flags of npm start, in the same process', async (t) => {
    const says = `process.stdout.write(JSON.stringify([process.pid, process.ppid, process.execArgv]))`
    const root = project(t, '>=16', { src: { 'main.ts': says } })
    const { scripts } = JSON.parse(readFileSync(join(entry, '../../package.json'), 'utf8'))
    const flags = scripts.start.split(' ').filter((word: string) => word.startsWith('--'))
    const [pid, parent, given] = JSON.parse((await start(root)).stdout)
    t.same([parent, given], [process.pid, flags])
    t.not(pid, process.pid)
    const own = ['--max-old-space-size=77']
    t.same(JSON.parse((await start(root, {}, own)).stdout)[2], own, 'unless it has some')
  })

  t.test('keeps compiled code in the node_modules that it is in', async (t) => {
    const root = t.testdir({
      node_modules: {
        'kiro-gateway': {
          'package.json': JSON.stringify({ type: 'module', engines: { node: '>=16' } }),
          src: {},
          dist: { 'main.js': `process.stdout.write('started')` }
        }
      }
    })
    const modules = join(root, 'node_modules')
    copyFileSync(entry, join(modules, 'kiro-gateway/src/start.js'))
    t.match(await start(join(modules, 'kiro-gateway')), { code: 0, stdout: 'started' })
    t.equal(readdirSync(join(modules, '.cache')).length, 1)
  })

  t.test('keeps compiled code beside the modules', async (t) => {
    const root = project(t, '>=16', { node_modules: {} })
    t.match(await start(root), { code: 0 })
    const [folder = ''] = readdirSync(join(root, 'node_modules/.cache'))
    t.match(folder, /^kiro-gateway-/)
    t.ok(readdirSync(join(root, 'node_modules/.cache', folder)).length > 0, 'and wrote some')
    t.match(await start(root), { code: 0, stdout: 'started' })
  })

  t.test('keeps it in the temporary folder where the project is read-only', async (t) => {
    const root = project(t, '>=16', { node_modules: 'a file, so that no folder can be made' })
    t.match(await start(root), { code: 0, stdout: 'started', stderr: '' })
    t.equal(readdirSync(join(root, 'tmp')).length, 1)
  })

  t.test('starts where nothing can be written', async (t) => {
    const root = project(t, '>=16', { node_modules: '', nothing: '' })
    const env = { TMPDIR: join(root, 'nothing/at/all') }
    t.match(await start(root, env), { code: 0, stdout: 'started', stderr: '' })
    t.match(await start(root, { TMPDIR: '/proc/none' }), { code: 0, stdout: 'started', stderr: '' })
  })

  t.test('trusts no cache that others can write to', async (t) => {
    const name = `kiro-gateway-${process.getuid?.()}`
    const root = project(t, '>=16', { node_modules: '' })
    const planted = join(root, 'tmp', name)
    t.match(await start(root), { code: 0 })
    t.ok(existsSync(planted))
    chmodSync(planted, 0o777)
    const before = readdirSync(planted, { recursive: true }).length
    await start(root)
    t.equal(readdirSync(planted, { recursive: true }).length, before)
  })

  t.test('leaves the choice to NODE_COMPILE_CACHE', async (t) => {
    const root = project(t, '>=16')
    const env = { NODE_COMPILE_CACHE: join(root, 'chosen') }
    t.match(await start(root, env), { code: 0, stdout: 'started' })
    t.ok(existsSync(join(root, 'chosen')))
    t.notOk(existsSync(join(root, 'node_modules')))
  })
  t.end()
})
