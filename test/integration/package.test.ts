import { execFile } from 'node:child_process'
import {
  chmodSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync
} from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { parseAst } from 'rolldown/parseAst'
import t from 'tap'
import { GatewayProcess } from '../helper/gateway-process.ts'
import { skipByDay } from '../helper/nightly.ts'
import { askForPage, WHOLE_PAGE } from '../helper/page-parts.ts'
import { smallPdf } from '../helper/small-pdf.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '../..')
const MEBIBYTE = 1024 ** 2
/** Pages for users. The others would make the package too large: links to them lead to the repository. */
const PAGES = [
  'README',
  'claude-code',
  'clients',
  'commands',
  'debugging',
  'doctor',
  'errors',
  'exit-codes',
  'keys',
  'metrics',
  'rules',
  'settings',
  'sign-in'
]
const folder = mkdtempSync(join(tmpdir(), 'gateway-package-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const PATH = [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter)
const env = { PATH, HOME: folder }

interface Packed {
  readonly filename: string
  readonly size: number
  readonly unpackedSize: number
  readonly files: readonly { readonly path: string }[]
}

const packed = await pack()
const program = await install(join(folder, packed.filename))

/** As `npm publish` would. */
async function pack(): Promise<Packed> {
  const options = ['--json', '--foreground-scripts=false', '--pack-destination', folder]
  const { stdout } = await run('npm', ['pack', ...options], { cwd: ROOT, env })
  const [first] = JSON.parse(stdout) as readonly Packed[]
  if (first === undefined) throw new Error(`npm pack says ${stdout}`)
  return first
}

/**
 * Lays out what `npm install` would: the package, what it depends on and nothing else, and a link to its program. Resolves with
 * the path of that.
 */
async function install(tarball: string): Promise<string> {
  const modules = join(folder, 'installed/node_modules')
  const own = join(modules, 'kiro-gateway')
  mkdirSync(own, { recursive: true })
  await run('tar', ['-xzf', tarball, '--strip-components=1', '-C', own])
  for (const path of productionPackages()) {
    const target = join(modules, path)
    mkdirSync(dirname(target), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules', path), target)
  }
  const { bin } = JSON.parse(readFileSync(join(own, 'package.json'), 'utf8'))
  const entry = join(own, bin['kiro-gateway'])
  chmodSync(entry, 0o755)
  mkdirSync(join(modules, '.bin'))
  const link = join(modules, '.bin/kiro-gateway')
  symlinkSync(entry, link)
  return link
}

/** What is installed for those who use the package, by names below `node_modules`. */
function productionPackages(): readonly string[] {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: true; optional?: true; devOptional?: true }>
  }
  return Object.entries(packages).flatMap(([path, { dev, optional, devOptional }]) => {
    const isLeftOut = dev === true || optional === true || devOptional === true
    const name = path.replace(/^node_modules\//, '')
    return path === '' || isLeftOut || name.includes('node_modules/') ? [] : name
  })
}

t.test('the package holds the program and nothing of the workshop', async (t) => {
  const paths = packed.files.map(({ path }) => path)
  const built = globSync('{src,workers}/**/*.ts', { cwd: ROOT })
    .filter((path) => !path.endsWith('.d.ts'))
    .map((path) => join('dist', path.replace(/^src\//, '').replace(/\.ts$/, '.js')))
  t.ok(built.length > 200)
  const page = globSync('src/dashboard/page/*.{html,css,js,svg}', { cwd: ROOT }).map((path) =>
    path.replace(/^src/, 'dist')
  )
  t.ok(page.includes('dist/dashboard/page/index.html'))
  const others = [
    '.env.example',
    'LICENSE',
    'README.md',
    'docs/openapi.html',
    'docs/openapi.json',
    ...globSync('docs/guides/*.md', { cwd: ROOT }),
    ...PAGES.map((name) => `docs/${name}.md`),
    'llms.txt',
    'package.json',
    'src/start.js'
  ]
  t.same(paths.toSorted(), [...built, ...page, ...others].toSorted())
  t.ok(packed.size < 1_000_000, `${packed.size} bytes`)
  t.ok(packed.unpackedSize < 4 * MEBIBYTE, `${packed.unpackedSize} bytes unpacked`)
})

t.test('package.json can be published', async (t) => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  t.notOk(manifest.private)
  for (const name of [
    'description',
    'license',
    'repository',
    'engines',
    'bin',
    'files',
    'keywords'
  ])
    t.ok(manifest[name], name)
  for (const name of ['preinstall', 'install', 'postinstall'])
    t.notOk(manifest.scripts[name], `nothing runs when it is installed: ${name}`)
})

t.test('every line of the JavaScript is where it is in the TypeScript', async (t) => {
  const own = dirname(dirname(program))
  for (const path of globSync('src/**/*.ts', { cwd: ROOT }).filter(
    (one) => !one.endsWith('.d.ts')
  )) {
    const source = readFileSync(join(ROOT, path), 'utf8').split('\n')
    const built = join(own, 'kiro-gateway/dist', path.replace(/^src\//, '').replace(/\.ts$/, '.js'))
    const lines = readFileSync(built, 'utf8').split('\n')
    if (lines.length !== source.length) t.fail(`${path} has lost lines`)
    if (lines.some((line) => /from '\..*\.ts'/.test(line))) t.fail(`${path} imports TypeScript`)
  }
})

t.test('what the package leaves out are types and comments', { skip: skipByDay }, async (t) => {
  const own = join(dirname(dirname(program)), 'kiro-gateway/dist')
  const sources = ['src/**/*.ts', 'src/dashboard/page/**/*.js']
  for (const path of globSync(sources, { cwd: ROOT, exclude: ['**/*.d.ts'] })) {
    const text = readFileSync(join(ROOT, path), 'utf8')
    const source = path.endsWith('.ts') ? stripTypeScriptTypes(text) : text
    const built = readFileSync(
      join(own, path.replace(/^src\//, '').replace(/\.ts$/, '.js')),
      'utf8'
    )
    if (syntaxOf(source) !== syntaxOf(built)) t.fail(`${path} is another program`)
  }
})

/** The syntax tree without places, and without paths, which the build changes. */
function syntaxOf(code: string): string {
  return JSON.stringify(parseAst(code), (name, value: unknown) => {
    if (['start', 'end', 'raw'].includes(name)) return undefined
    if (typeof value === 'bigint') return String(value)
    return typeof value === 'string' && /^\.{1,2}\/|\.[tj]s$/.test(value) ? '' : value
  })
}

t.test('the program, started by its name', async (t) => {
  const gateway = new GatewayProcess({
    program,
    env: { PATH },
    envFile: {
      PROXY_API_KEY: 'the-key-of-this-test',
      NATIVE_DOCUMENTS: 'false',
      TRANSFORM_TIMEOUT: '60'
    }
  })
  t.teardown(() => gateway.destroy())
  await gateway.ready()

  const ask = async (content: unknown): Promise<string> => {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer the-key-of-this-test', 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'claude-haiku-4.5', messages: [{ role: 'user', content }] })
    })
    const body = JSON.parse(await response.text())
    return String(body.choices?.[0]?.message.content ?? JSON.stringify(body))
  }

  t.test('has the description of its API', async (t) => {
    const headers = { authorization: 'Bearer the-key-of-this-test' }
    for (const [path, words] of [
      ['/openapi.json', '"openapi":"3.1.0"'],
      ['/docs', '</html>'],
      ['/docs/guides', 'Alone on a laptop</a>'],
      ['/docs/guides/team.md', gateway.url],
      ['/docs/settings', '<code>SERVER_PORT</code>'],
      ['/llms.txt', 'docs/guides/team.md']
    ] as const)
      t.match(await (await fetch(gateway.url + path, { headers })).text(), words)
  })

  t.test('is one process with the flags of npm start', async (t) => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
    const flags = scripts.start.split(' ').filter((word: string) => word.startsWith('--'))
    const words = readFileSync(`/proc/${gateway.child.pid}/cmdline`, 'utf8').split('\0')
    t.same(words.slice(1, 1 + flags.length), flags)
    const ready = gateway.lines.find((line) => line['msg'] === 'gateway ready')
    t.equal(ready?.['pid'], gateway.child.pid)
  })

  t.test('reads .env of its working folder', async (t) => {
    t.equal((await fetch(`${gateway.url}/v1/models`)).status, 401)
  })

  t.test('answers, also what takes a thread', async (t) => {
    t.equal(await ask('sim:say="small"'), 'small')
    t.equal(await ask(`${'long '.repeat(60_000)} sim:say="large"`), 'large')
    const data = smallPdf(['sim:say="out of a PDF"']).toString('base64')
    const file = { filename: 'a.pdf', file_data: `data:application/pdf;base64,${data}` }
    t.equal(await ask([{ type: 'file', file }]), 'out of a PDF')
  })

  t.test('shows its dashboard', async (t) => {
    t.same(await askForPage(gateway.url), WHOLE_PAGE)
  })

  t.test("keeps its state in the system's place, and nothing in its working folder", async (t) => {
    const response = await fetch(`${gateway.url}/v1/responses`, {
      method: 'POST',
      headers: { authorization: 'Bearer the-key-of-this-test', 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'claude-haiku-4.5', input: 'Hello' })
    })
    t.match(await response.json(), { status: 'completed' })
    gateway.child.kill('SIGTERM')
    t.equal(await gateway.exited, 0, 'and ends in peace')
    const state = readdirSync(join(gateway.folder, '.local/state/kiro-gateway'))
    t.same(state.toSorted(), ['compaction.key', 'responses', 'token-counts.json', 'usage.db'])
    t.same(readdirSync(gateway.folder).toSorted(), ['.env', '.local'])
    t.equal(gateway.stderr, '')
  })
})

t.test('its commands run, too', async (t) => {
  const request = { model: 'auto', messages: [{ role: 'user', content: 'hi' }] }
  const file = join(t.testdir({ 'request.json': JSON.stringify(request) }), 'request.json')
  t.match(await run(program, ['lint', file], { cwd: folder, env }), {
    stdout: 'openai-chat: nothing to say\n'
  })
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  t.match(await run(program, ['--version'], { cwd: folder, env }), { stdout: `${version}\n` })
})
