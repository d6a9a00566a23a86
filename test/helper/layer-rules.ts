import { dirname, posix } from 'node:path'
import { type Token, tokenize } from './source-tokens.ts'

/** What each part of the project may import besides itself; `test/layers.test.ts` has it. */
export type LayerTable = Readonly<Record<string, readonly string[]>>

/** A source file by its path from the root, with `/`. */
export interface SourceFile {
  readonly path: string
  readonly text: string
}

/** Sentences about all that breaks the rules in a file. */
export function findViolations(file: SourceFile, table: LayerTable): readonly string[] {
  const tokens = tokenize(file.text)
  return [
    ...badName(file.path),
    ...importsOf(tokens).flatMap((specifier) => badImport(file.path, specifier, table)),
    ...badGlobals(file.path, tokens)
  ].map((sentence) => `${file.path}: ${sentence}`)
}

/** What a file imports in whatever way; `null` stands for an `import()` of something computed. */
export function importsOf(tokens: readonly Token[]): readonly (string | null)[] {
  return tokens.flatMap((token, index) => {
    if (token.kind !== 'word') return []
    const [next, afterNext] = tokens.slice(index + 1, index + 3)
    if (token.text === 'from' && next?.kind === 'string' && mayEndClause(tokens[index - 1])) {
      return [next.text]
    }
    if (token.text !== 'import' || isProperty(tokens, index)) return []
    if (next?.kind === 'string') return [next.text]
    if (next?.text !== '(') return []
    return [afterNext?.kind === 'string' ? afterNext.text : null]
  })
}

/** The part of the project that a path belongs to: a folder of `src/`, a file right in it, or `workers`. */
export function partOf(path: string): string {
  const [top = '', second = ''] = path.split('/')
  return top === 'src' ? second : top
}

/**
 * Rooms that import each other in a circle, each circle once: `a > b > a`. A room is a folder, whatever it lies in.
 */
export function circlesBetween(files: readonly SourceFile[]): readonly string[] {
  const imports = new Map<string, Set<string>>()
  for (const { path, text } of files) {
    const from = dirname(path)
    for (const specifier of importsOf(tokenize(text))) {
      if (specifier === null || !specifier.startsWith('.')) continue
      const to = dirname(posix.join(from, specifier))
      if (to === from || !to.startsWith('src')) continue
      imports.set(from, (imports.get(from) ?? new Set()).add(to))
    }
  }
  const circles: string[] = []
  const done = new Set<string>()
  const visit = (room: string, path: readonly string[]): void => {
    const begin = path.indexOf(room)
    if (begin >= 0) circles.push([...path.slice(begin), room].join(' > '))
    if (begin >= 0 || done.has(room)) return
    for (const next of imports.get(room) ?? []) visit(next, [...path, room])
    done.add(room)
  }
  for (const room of imports.keys()) visit(room, [])
  return circles
}

const entries = ['src/main.ts', 'src/start.js']
/** Where the environment is read, and where it is set for child processes. */
const environmentFiles = ['src/config/load-process.ts', 'src/start.js']
const forbiddenNames = /(^|[-.])(index|utils?|helpers?|managers?|misc)([-.]|$)|^types$/

function badName(path: string): readonly string[] {
  const wrong = path.split('/').filter((name) => forbiddenNames.test(name))
  return wrong.map((name) => `"${name}" says nothing about what is in it`)
}

function badImport(path: string, specifier: string | null, table: LayerTable): readonly string[] {
  // The entry finds what it starts in src/ or, in a package, in dist/.
  if (specifier === null && path === 'src/start.js') return []
  if (specifier === null) return ['imports something computed, which cannot be checked']
  if (!specifier.startsWith('.')) return []
  const target = posix.join(dirname(path), specifier)
  if (target === 'package.json') return []
  // What runs in the browser is plain JavaScript, and a world of its own.
  if (isPage(path) && isPage(target) && specifier.endsWith('.js')) return []
  if (isPage(path) || isPage(target)) return [`must not import ${target}`]
  if (!specifier.endsWith('.ts')) return [`imports ${specifier} without .ts`]
  const [from, to] = [partOf(path), partOf(target)]
  if (from === to && !['main.ts', 'start.js', 'warm-up.ts'].includes(to)) return []
  const allowed = table[from]
  if (allowed === undefined) return [`"${from}" is not in the table of layers`]
  const asFile = target.replace('src/', '')
  return allowed.includes(to) || allowed.includes(asFile) ? [] : [`must not import ${target}`]
}

function isPage(path: string): boolean {
  return path.startsWith('src/dashboard/page/')
}

function badGlobals(path: string, tokens: readonly Token[]): readonly string[] {
  const found: string[] = []
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== 'word' || isProperty(tokens, index)) continue
    const member = memberAfter(tokens, index)
    if (token.text === 'console' && member !== null) found.push('uses console')
    if (token.text !== 'process') continue
    if (member === 'env' && !environmentFiles.includes(path)) found.push('reads process.env')
    if (member === 'exit' && !entries.includes(path)) found.push('calls process.exit')
  }
  const hidden = ['process', 'node:process', 'console', 'node:console']
  for (const specifier of importsOf(tokens)) {
    if (specifier !== null && hidden.includes(specifier)) found.push(`imports ${specifier}`)
  }
  return found
}

/** The name after `.`, `?.` or in `['…']`; `null` if no member is meant. */
function memberAfter(tokens: readonly Token[], index: number): string | null {
  const [one, two, three] = tokens.slice(index + 1, index + 4)
  if (one?.text === '.' || one?.text === '[') return two?.text ?? null
  if (one?.text === '?' && two?.text === '.') return three?.text ?? null
  return null
}

/** `a.import` is no import and `this.process` not the process; `...process` spreads it. */
function isProperty(tokens: readonly Token[], index: number): boolean {
  return tokens[index - 1]?.text === '.' && tokens[index - 2]?.text !== '.'
}

/** Before `from` stands `}`, `*` or a name; `from` as an argument, key or operand has something else there. */
function mayEndClause(before: Token | undefined): boolean {
  return before !== undefined && (before.kind === 'word' || '}*'.includes(before.text))
}
