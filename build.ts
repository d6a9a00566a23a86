import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, posix } from 'node:path'

/*
 * Makes plain JavaScript of the program, for the npm package, since Node reads no types below node_modules, and for the
 * image. `npm run build`; nothing of a clone needs it, and a dist/ that is there is not looked at.
 *
 *   src/main.ts                    dist/main.js
 *   src/kiro/wire/event.ts         dist/kiro/wire/event.js
 *   workers/transform-request.ts   dist/workers/transform-request.js
 *   src/dashboard/page/*           dist/dashboard/page/*, without comments: browsers read it
 *   src/start.js, package.json     stay: start.js finds the rest
 *
 * Types become one blank and comments empty lines, so that a stack trace names the line of the TypeScript. Comments would be a
 * sixth of the package, and a blank for each character of a type a fortieth.
 */

const ROOT = import.meta.dirname
const OUTPUT = 'dist'
/** What browsers are given. */
const PAGE = 'src/dashboard/page'

/** What an import names, of whatever form. */
const IMPORTED = /(?<=\b(?:from|import)\s*\(?\s*')\.[^'\n]+(?=')/g
/** What is found by its place beside the module. */
const FILE = /(?<=\bnew URL\(')[^'\n]+(?=', import\.meta\.url\))/g

/** A comment on lines of its own, behind which no code stands. No string of the program has a line that looks like one: a test compares the syntax. */
const COMMENT = /^[ \t]*(?:\/\*(?:(?!\*\/)[^])*\*\/|\/\/.*)[ \t]*$/gm

rmSync(join(ROOT, OUTPUT), { recursive: true, force: true })
for (const path of ['src', 'workers'].flatMap(sourcesIn)) {
  const target = join(ROOT, builtPath(path))
  mkdirSync(dirname(target), { recursive: true })
  writeFileSync(target, toJavaScript(path, readFileSync(join(ROOT, path), 'utf8')))
}

cpSync(join(ROOT, PAGE), join(ROOT, builtPath(PAGE)), {
  recursive: true,
  filter: (path) => !/\.d\.ts$|tsconfig\.json$/.test(path)
})

for (const name of readdirSync(join(ROOT, builtPath(PAGE)), {
  recursive: true,
  encoding: 'utf8'
})) {
  if (!name.endsWith('.js')) continue
  const path = join(ROOT, builtPath(PAGE), name)
  writeFileSync(path, readFileSync(path, 'utf8').replace(COMMENT, emptyLines))
}

/** Paths from the root, with `/`. */
function sourcesIn(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => posix.join(folder, name.replaceAll('\\', '/')))
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
}

function builtPath(path: string): string {
  if (path === PAGE || path.startsWith(`${PAGE}/`)) return path.replace(/^src/, OUTPUT)
  if (!path.endsWith('.ts')) return path
  return posix.join(OUTPUT, path.replace(/^src\//, '').replace(/\.ts$/, '.js'))
}

function toJavaScript(path: string, source: string): string {
  const code = withoutGaps(stripTypeScriptTypes(source), source)
  const from = dirname(builtPath(path))
  const rename = (named: string): string => {
    const to = posix.relative(from, builtPath(posix.join(dirname(path), named)))
    return to.startsWith('.') ? to : `./${to}`
  }
  return code
    .replace(IMPORTED, rename)
    .replace(FILE, rename)
    .replace(COMMENT, emptyLines)
    .replace(/[ \t]+$/gm, '') // of a type that ended a line; the formatter leaves none elsewhere
}

/** Shortens the blanks that types have left: those of the source stay, as in strings. */
function withoutGaps(code: string, source: string): string {
  if (code.length !== source.length) throw new Error('types are not stripped place by place')
  return code.replaceAll(/ {2,}/g, (blanks, at: number) =>
    source.startsWith(blanks, at) ? blanks : ' '
  )
}

function emptyLines(comment: string): string {
  return comment.replaceAll(/[^\n]/g, '')
}
