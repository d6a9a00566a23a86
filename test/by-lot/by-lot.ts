import { execFileSync } from 'node:child_process'
import { posix } from 'node:path'
import { parseArgs } from 'node:util'
import { parseSync } from 'rolldown/utils'
import { seededRandom } from '../helper/seeded-random.ts'

/**
 * `npm run by-lot -- --before COMMIT`: draws messages of errors and doc comments of an earlier version with a seed, and prints
 * each beside the one of HEAD that says it now, so that somebody can judge how the words have changed.
 */
const { values } = parseArgs({
  options: {
    before: { type: 'string' },
    seed: { type: 'string', default: '25' },
    count: { type: 'string', default: '20' }
  }
})
if (values.before === undefined) throw new Error('use: npm run by-lot -- --before COMMIT')

interface Words {
  readonly path: string
  /** Code of the error, or name of what the comment documents. */
  readonly name: string
  readonly text: string
}

/** Calls whose texts clients and operators read when something fails. */
const MAKES_ERROR = /Error$|Fault$|^(?:improper|invalid|refused|fail|problem)$/
const MIN_WORDS = 4
/** Share of words that two texts have in common, at which one may be the other reworded. */
const ALIKE = 0.3

const ROOT = `${import.meta.dirname}/../..`
/** Name of what is declared, behind the words that may stand before it. */
const NAME =
  /^\s*(?:(?:export|default|async|function|class|interface|type|const|let|readonly|static|get|set|private|declare|abstract)\s+|\*\s*)*([#\w]+)/

const random = seededRandom(Number(values.seed))
const before = filesOf(values.before)
const now = filesOf('HEAD')
show('Messages of errors', before.flatMap(messagesIn), now.flatMap(messagesIn))
show('Doc comments', before.flatMap(commentsIn), now.flatMap(commentsIn))

function show(title: string, olds: readonly Words[], news: readonly Words[]): void {
  print(`\n## ${title}: ${values.count} of ${olds.length} by lot, seed ${values.seed}\n`)
  const left = [...olds]
  for (let taken = 0; taken < Number(values.count) && left.length > 0; taken++) {
    const [old] = left.splice(Math.floor(random() * left.length), 1)
    if (old === undefined) continue
    const found = sameIn(news, old)
    print(`${taken + 1}. ${old.name} (${old.path})\n   - before: ${old.text}`)
    if (found === null) print('   - now: gone')
    else if (found.text === old.text) print('   - now: the same')
    else print(`   - now (${found.path}): ${found.text}`)
  }
}

/** Finds the words of today: of those with the same name the ones in the same file, else the most alike. */
function sameIn(news: readonly Words[], old: Words): Words | null {
  const named = news.filter((one) => one.name === old.name)
  const own = named.filter((one) => posix.basename(one.path) === posix.basename(old.path))
  const isIts = own.length === 1 && !old.name.endsWith('()') // one maker makes many messages
  const rank = (one: Words): number => likeness(one.text, old.text)
  const best = (own.length > 0 ? own : named).toSorted((a, b) => rank(b) - rank(a))[0]
  return best !== undefined && (isIts || rank(best) >= ALIKE) ? best : null
}

/** Share of the words of both texts that stand in both. */
function likeness(one: string, other: string): number {
  const words = wordsOf(one)
  const others = wordsOf(other)
  const shared = [...words].filter((word) => others.has(word)).length
  return shared / (words.size + others.size - shared)
}

function wordsOf(text: string): Set<string> {
  return new Set(text.toLowerCase().match(/[\w-]+/g))
}

function git(...args: readonly string[]): string {
  return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 26 })
}

function filesOf(commit: string): readonly Words[] {
  return git('ls-tree', '-r', '--name-only', commit, 'src', 'workers')
    .split('\n')
    .filter((path) => /\.[tj]s$/.test(path))
    .map((path) => ({ path, name: posix.basename(path), text: git('show', `${commit}:${path}`) }))
}

/** Reads the rows of the table of errors, and other texts of some words that are given to an error where it is made. */
function messagesIn({ path, text: source }: Words): readonly Words[] {
  const found: Words[] = []
  const add = (name: string, text: string): void => {
    if (text.split(/\s+/).length >= MIN_WORDS) found.push({ path, name, text })
  }
  const look = (node: unknown, name: string | null): void => {
    if (typeof node !== 'object' || node === null) return
    if (Array.isArray(node)) {
      for (const one of node) look(one, name)
      return
    }
    const { type, value, start, end, callee, key, quasis } = node as Record<string, unknown>
    let inside = name
    const code = (key as { name?: string } | undefined)?.name ?? ''
    const maker = (callee as { name?: string } | undefined)?.name ?? ''
    if (type === 'Property' && code.startsWith('GW_')) inside = code
    else if (MAKES_ERROR.test(maker)) inside = `${maker}()`
    if (inside !== null && typeof value === 'string') add(inside, value)
    if (inside !== null && quasis !== undefined)
      add(inside, source.slice(Number(start) + 1, Number(end) - 1))
    for (const child of Object.values(node)) look(child, inside)
  }
  look(parseSync(path, source, { lang: 'ts' }).program.body, null)
  return found
}

/** Reads doc comments, each with the first name in the code that follows. */
function commentsIn({ path, text: source }: Words): readonly Words[] {
  const { comments } = parseSync(path, source, { lang: 'ts' })
  return comments
    .filter(({ type, value }) => type === 'Block' && value.startsWith('*'))
    .map(({ value, end }) => {
      const text = value
        .replace(/^\s*\*+ ?/gm, ' ')
        .replace(/\s+/g, ' ')
        .trim()
      return { path, name: NAME.exec(source.slice(end, end + 200))?.[1] ?? '', text }
    })
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
