import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  circlesBetween,
  findViolations,
  importsOf,
  type LayerTable,
  partOf
} from './helper/layer-rules.ts'
import { tokenize } from './helper/source-tokens.ts'

/** From top to bottom: each row imports only from rows below it, and of these only what stands here. */
const layers: LayerTable = {
  'start.js': [],
  'warm-up.ts': words('cli config control credentials server simulator tracing shared'),
  'main.ts': ['config', 'control', 'credentials', 'server', 'simulator', 'observe', 'shared'],
  // A command may use whatever it needs: it is a program of its own.
  cli: words(
    'server control reply credentials admission ipc upstream transform dialects kiro keys devices fleet config observe frames shared'
  ),
  server: words(
    'reply admission upstream transform tracing dialects kiro keys devices fleet config ipc observe dashboard frames shared'
  ),
  // The primary's own calls hold a lease of the budget like any worker.
  control: words(
    'admission credentials upstream kiro keys devices fleet dashboard ipc config observe shared'
  ),
  reply: ['admission', 'dialects', 'frames', 'kiro', 'shared'],
  credentials: ['kiro', 'upstream', 'config', 'observe', 'shared'],
  transform: ['admission', 'dialects', 'shared'],
  admission: ['ipc', 'keys', 'shared'],
  // What goes between primary and worker is named by the types of those who make it.
  ipc: ['kiro', 'keys', 'devices', 'config', 'observe', 'shared'],
  upstream: ['kiro', 'config', 'observe', 'shared'],
  // Loaded only where traces are on; all others know of it is what it is told.
  tracing: ['config', 'observe', 'shared'],
  dialects: ['kiro', 'frames', 'shared'],
  simulator: ['kiro', 'frames', 'shared'],
  kiro: ['frames', 'shared'],
  // Of no interest to the upstream, nor to any client's API.
  keys: ['shared'],
  // Workers and the primary take the same steps with it; only the primary keeps what comes of them.
  devices: ['shared'],
  // Several gateways, of which none knows what the others do: decisions are pure, Valkey has a port and an adapter.
  fleet: ['shared'],
  config: ['shared'],
  observe: ['shared'],
  dashboard: ['shared'],
  // Frames are refused with codes of shared/errors.ts, which knows nothing of frames.
  frames: ['shared'],
  shared: [],
  workers: [
    'dialects',
    'transform/transform-job.ts',
    'control/book/book-service.ts',
    'control/usage/search-messages.ts',
    'control/usage/usage-search.ts',
    'shared'
  ]
}

function words(text: string): readonly string[] {
  return text.split(' ')
}

const root = join(import.meta.dirname, '..')

function sourcePaths(): readonly string[] {
  return ['src', 'workers'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.[cm]?[jt]s$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
  )
}

function fileOf(path: string, ...specifiers: readonly string[]) {
  return { path, text: specifiers.map((specifier) => `import '${specifier}'`).join('\n') }
}

/** What is found wrong with a text, without the path. */
function check(path: string, text: string): readonly string[] {
  return findViolations({ path, text }, layers).map((found) => found.slice(path.length + 2))
}

t.test('every file of src/ and workers/ keeps to the layers', async (t) => {
  const paths = sourcePaths()
  t.ok(paths.includes('src/config/load-process.ts') && paths.length > 20, `${paths.length} files`)
  const violations = paths.flatMap((path) =>
    findViolations({ path, text: readFileSync(join(root, path), 'utf8') }, layers)
  )
  t.same(violations, [])
  const unknown = paths.filter((path) => layers[partOf(path)] === undefined)
  t.same(unknown, [], 'every folder has a row')
})

t.test('no rooms import each other in a circle', async (t) => {
  const files = sourcePaths().map((path) => ({
    path,
    text: readFileSync(join(root, path), 'utf8')
  }))
  t.same(circlesBetween(files), [])
  t.same(
    circlesBetween([
      fileOf('src/a/one.ts', './b/two.ts', '../c/three.ts'),
      fileOf('src/a/b/two.ts', '../../c/three.ts'),
      fileOf('src/c/three.ts', '../a/b/other.ts')
    ]),
    ['src/a/b > src/c > src/a/b']
  )
  t.same(
    circlesBetween([fileOf('src/a/one.ts', './b/two.ts'), fileOf('src/a/b/two.ts', './x.ts')]),
    []
  )
})

t.test('the table', async (t) => {
  const order = Object.keys(layers)
  for (const [part, allowed] of Object.entries(layers)) {
    for (const name of allowed.filter((name) => !name.includes('/'))) {
      t.ok(part === 'workers' || order.indexOf(name) > order.indexOf(part), `${part} > ${name}`)
    }
  }
})

t.test('the checker', (t) => {
  t.test('sees every way to import', async (t) => {
    for (const text of [
      `import { a } from '../server/app.ts'`,
      `import a from "../server/app.ts"`,
      `import * as a from '../server/app.ts'`,
      `import a, { b } from '../server/app.ts'`,
      `import type { A } from '../server/app.ts'`,
      `import {\n  type A, // from 'here'\n  b\n} from\n  '../server/app.ts'`,
      `import '../server/app.ts'`,
      `export { a } from '../server/app.ts'`,
      `export * from '../server/app.ts'`,
      `export * as a from '../server/app.ts'`,
      `export type { A } from '../server/app.ts'`,
      `const a = await import('../server/app.ts')`,
      `const a = await import(/* why */ '../server/app.ts')`,
      'const a = `${await import("../server/app.ts")}`',
      `let a: import('../server/app.ts').A`,
      `const r = /'/; import { a } from '../server/app.ts' // '`,
      `const r = a / 2; import('../server/app.ts'); const s = 1 / 2`,
      `const r = [/[/'"]/]; import('../server/app.ts')`
    ]) {
      t.same(check('src/kiro/a.ts', text), ['must not import src/server/app.ts'], text)
    }
  })

  t.test('is not misled by comments, strings and other words', async (t) => {
    for (const text of [
      `// import { a } from '../server/app.ts'`,
      `/* import '../server/app.ts' */`,
      `const a = "import '../server/app.ts'"`,
      'const a = `import "../server/app.ts" ${1} from "../server/app.ts"`',
      `const a = 'it\\'s'; const b = "from '../server/app.ts'"`,
      `const a = { from: '../server/app.ts' }; Array.from('../server/app.ts')`,
      `const a = import.meta.url; b.import('../server/app.ts')`,
      `const a = /import '..\\/server\\/app.ts'/`,
      'const a = `process.env ${"console.log(1)"}`',
      `this.process.env; const console = 1; const b = { console }; a.console.log(1)`
    ]) {
      t.same(check('src/kiro/a.ts', text), [], text)
    }
  })

  t.test('refuses upward, sideways and unlisted imports', async (t) => {
    for (const [path, specifier] of [
      ['src/shared/a.ts', '../frames/a.ts'],
      ['src/dialects/openai-chat/a.ts', '../../simulator/a.ts'],
      ['src/control/a.ts', '../dialects/a.ts'],
      ['src/control/a.ts', '../server/a.ts'],
      ['src/server/routes/a.ts', '../../credentials/a.ts'],
      ['src/upstream/a.ts', '../admission/a.ts'],
      ['src/main.ts', './kiro/a.ts'],
      ['src/kiro/a.ts', '../main.ts'],
      ['src/kiro/a.ts', '../../test/helper/a.ts'],
      ['src/kiro/a.ts', '../../workers/a.ts'],
      ['workers/a.ts', '../src/transform/transform-pool.ts'],
      ['workers/a.ts', '../src/server/a.ts']
    ] as const) {
      t.match(check(path, `import '${specifier}'`), [/^must not import/], `${path} ${specifier}`)
    }
    t.match(check('src/novel/a.ts', `import '../shared/a.ts'`), [/not in the table/])
  })

  t.test('allows what the table allows', async (t) => {
    for (const [path, specifier] of [
      ['src/control/a.ts', '../upstream/a.ts'],
      ['src/dialects/openai-chat/a.ts', '../../kiro/a.ts'],
      ['src/dialects/openai-chat/a.ts', '../anthropic-messages/a.ts'],
      ['src/server/routes/a.ts', '../app.ts'],
      ['src/main.ts', './config/load-process.ts'],
      ['src/shared/version.ts', '../../package.json'],
      ['workers/a.ts', '../src/transform/transform-job.ts'],
      ['src/kiro/a.ts', 'undici'],
      ['src/kiro/a.ts', 'node:fs']
    ] as const) {
      t.same(check(path, `import '${specifier}'`), [], `${path} ${specifier}`)
    }
  })

  t.test('refuses what only one place may do', async (t) => {
    t.same(check('src/kiro/a.ts', 'process.env.HOME'), ['reads process.env'])
    t.same(check('src/kiro/a.ts', `process['env']`), ['reads process.env'])
    t.same(check('src/kiro/a.ts', 'f({ ...process?.env })'), ['reads process.env'])
    t.same(check('src/kiro/a.ts', 'const a = `${process.env.HOME}`'), ['reads process.env'])
    t.same(check('src/config/load-process.ts', 'process.env'), [])
    t.same(check('src/kiro/a.ts', 'process.exit(1)'), ['calls process.exit'])
    t.same(check('src/kiro/a.ts', 'process.exitCode = 1'), [])
    t.same(check('src/main.ts', 'process.exit(1)'), [])
    t.same(check('src/kiro/a.ts', 'console.log(1)'), ['uses console'])
    t.same(check('src/main.ts', `console['log'](1)`), ['uses console'])
    t.same(check('src/kiro/a.ts', `import { env } from 'node:process'`), ['imports node:process'])
    t.same(check('src/kiro/a.ts', `import('console')`), ['imports console'])
    t.match(check('src/kiro/a.ts', 'import(name)'), [/computed/])
  })

  t.test('wants extensions and telling names', async (t) => {
    t.match(check('src/kiro/a.ts', `import './b'`), [/without \.ts/])
    t.match(check('src/kiro/a.ts', `import './b.js'`), [/without \.ts/])
    for (const path of [
      'src/kiro/index.ts',
      'src/kiro/string-utils.ts',
      'src/util/a.ts',
      'src/kiro/test-helper.ts',
      'src/control/manager.ts',
      'src/types/a.ts'
    ]) {
      t.match(check(path, ''), [/says nothing/], path)
    }
    t.same(check('src/kiro/indexed-names.ts', ''), [])
  })

  t.test('cuts every source of the project without losing its imports', async (t) => {
    for (const path of sourcePaths()) {
      const text = readFileSync(join(root, path), 'utf8')
      const lines = text.match(/^(import|export) .* from '.*'$|^} from '.*'$|^import '.*'$/gm) ?? []
      t.ok(importsOf(tokenize(text)).length >= lines.length, path)
    }
  })
  t.end()
})
