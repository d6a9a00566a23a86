import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, posix } from 'node:path'
import { type Plugin, rolldown } from 'rolldown'

/*
 * Puts what `build.ts` made of the program, and the libraries, into few files for the image: `npm run bundle`. Modules that
 * the same roles load come together, so that each process loads what it needs, once, and no more. That saves a quarter of
 * the memory of an idle gateway (docs/lab/memory.md). The npm package has the modules one by one: its stack traces name their lines.
 *
 *   dist/main.js, dist/workers/transform-request.js, …   the same entries
 *   dist/chunks/*.js                                      what they share, or load later
 *   dist/dashboard/page/*                                 stays: browsers read it
 */

const ROOT = import.meta.dirname
const DIST = 'dist'
const CHUNKS = 'chunks'
const PAGE = 'dashboard/page'
const ENTRIES = [
  'main',
  'warm-up',
  'cli/program/cli',
  'simulator/main',
  'workers/transform-request',
  'workers/usage-book',
  'workers/usage-search'
] as const
/** They start files of their own, which have to lie where they look for them. */
const LEFT_OUT = ['piscina', 'unpdf']

/** A module asks for these as CommonJS, to get parts of a library that are not meant to be imported. */
const OWN_REQUIRE = /^const require = createRequire\(import\.meta\.url\);?$/m
/** What is found by its place beside the module. */
const FILE = /\bnew URL\('([^'\n]+)', import\.meta\.url\)/g
/** The same, once its place is known from the root. */
const PLACED = /\bnew URL\(["'`]placed:([^"'`\n]+)["'`], import\.meta\.url\)/g
const NODE_IMPORT = /^import\s*(.+?)\s*from\s*["'](node:[^"']+)["'];?$/gm
const NAMES = /^(?:\* as )?(\w+)?,?\s*(\{.*\})?$/
const NOT_LATIN = /[^\0-\xff]/g
/** Stands for HTTP/2, which no connection speaks (`allowH2: false`), and which takes 3 MB of each process. */
const NO_HTTP2 = '\0no-http2'

const bundle = await rolldown({
  cwd: ROOT,
  input: Object.fromEntries(ENTRIES.map((name) => [name, `./${DIST}/${name}.js`])),
  platform: 'node',
  external: LEFT_OUT,
  resolve: { mainFields: ['module', 'main'] }, // jsonc-parser's main form hides what it requires
  plugins: [prepare(), arrange()]
})
const { output } = await bundle.generate({
  format: 'esm',
  comments: false,
  minify: false, // else it is printed once more, behind `arrange()`
  entryFileNames: '[name].js',
  chunkFileNames: `${CHUNKS}/[name].js`
})
await bundle.close()
removeModules()
for (const file of output) {
  if (file.type !== 'chunk') throw new Error(`${file.fileName} is no JavaScript`)
  const path = join(ROOT, DIST, file.fileName)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, file.code)
}

/** Before modules are put together. */
function prepare(): Plugin {
  return {
    name: 'prepare',
    resolveId: (id) => (id === 'node:http2' ? NO_HTTP2 : null),
    load: (id) => (id === NO_HTTP2 ? 'module.exports = { constants: {} }' : null),
    transform(code, id) {
      if (!id.startsWith(join(ROOT, DIST))) return null
      const folder = dirname(posix.relative(ROOT, id))
      return code
        .replace(OWN_REQUIRE, '')
        .replace(FILE, (_, named: string) => urlOf(`placed:${posix.join(folder, named)}`))
    }
  }
}

/** Afterwards: what depends on where a module has gone, and what makes it small in memory. */
function arrange(): Plugin {
  return {
    name: 'arrange',
    renderChunk(code, { fileName }) {
      const folder = dirname(posix.join(DIST, fileName))
      return code
        .replace(PLACED, (_, path: string) => urlOf(posix.relative(folder, path)))
        .replace(NODE_IMPORT, (_, what: string, name: string) => taken(what, name))
        .replace(NOT_LATIN, escaped)
    }
  }
}

function urlOf(path: string): string {
  return `new URL('${path}', import.meta.url)`
}

/**
 * An `import` of a part of Node asks for all that it exports. Of `node:http` that loads WebSocket and fetch, with a second
 * undici, which takes 5 MB of each process.
 */
function taken(what: string, name: string): string {
  const [, whole, parts] = NAMES.exec(what) ?? []
  const from = `process.getBuiltinModule('${name}')`
  const lines = [
    whole === undefined ? '' : `const ${whole} = ${from};`,
    parts === undefined ? '' : `const ${parts.replaceAll(' as ', ': ')} = ${from};`
  ]
  if (lines.every((line) => line === '')) throw new Error(`what is imported here? ${what}`)
  return lines.join('')
}

/** V8 keeps the text of a file in two bytes a character as soon as one needs them. All of these are in strings. */
function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** All but the page. */
function removeModules(): void {
  for (const name of readdirSync(join(ROOT, DIST))) {
    if (name !== dirname(PAGE)) rmSync(join(ROOT, DIST, name), { recursive: true })
  }
  for (const name of readdirSync(join(ROOT, DIST, dirname(PAGE)))) {
    if (name !== basename(PAGE)) rmSync(join(ROOT, DIST, dirname(PAGE), name), { recursive: true })
  }
}
