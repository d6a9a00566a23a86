import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const declaration =
  /^export (?:declare |abstract |async )*(?:function\*?|class|const|let|interface|type|enum) ([\w$]+)/gm
const list = /^export (?:type )?\{([^}]*)\}(?! from)/gm

/** The names that a source text exports, as others import them. What is only passed on is the same thing. */
function exportedNames(text: string): readonly string[] {
  const declared = [...text.matchAll(declaration)].map(([, name = '']) => name)
  const listed = [...text.matchAll(list)].flatMap(([, names = '']) => names.split(','))
  const last = listed.map((name) => name.trim().split(/\s+/).at(-1) ?? '')
  return [...declared, ...last].filter((name) => name !== '')
}

function doublesOf(files: Readonly<Record<string, string>>): readonly string[] {
  const places = new Map<string, string[]>()
  for (const [path, text] of Object.entries(files)) {
    for (const name of new Set(exportedNames(text))) {
      places.set(name, [...(places.get(name) ?? []), path])
    }
  }
  const doubles = [...places].filter(([, paths]) => paths.length > 1)
  return doubles.map(([name, paths]) => `${name}: ${paths.toSorted().join(', ')}`)
}

t.test('no two exported things of src/ share a name', async (t) => {
  const root = join(import.meta.dirname, '..')
  // The page of the dashboard runs in browsers, where nothing else of src/ does.
  const paths = globSync('src/**/*.{ts,js}', { cwd: root, exclude: ['src/dashboard/page/**'] })
  const texts = paths.map((path) => [path, readFileSync(join(root, path), 'utf8')] as const)
  t.ok(paths.length > 100, `${paths.length} files`)
  t.same(doublesOf(Object.fromEntries(texts)), [])
})

t.test('every way to export is seen', async (t) => {
  const one = [
    'export const a = 1',
    'export async function b() {}',
    'export abstract class C {}',
    'export type { D }',
    'export { x } from "d"',
    'export {\n  e,\n  f as g\n}',
    'export function* h() {}',
    'const f = "export const i"'
  ].join('\n')
  t.same(exportedNames(one), ['a', 'b', 'C', 'h', 'D', 'e', 'g'])
  t.same(doublesOf({ one, two: 'export interface C {}', three: 'class e {}' }), ['C: one, two'])
})

t.test('no client of the vendor’s is named, and no machine', async (t) => {
  const root = join(import.meta.dirname, '..')
  for (const path of globSync('src/**/*.{ts,js,mjs,html}', { cwd: root })) {
    // The keys of kiro-cli's database are no names that the gateway goes by.
    const foreign = /KiroIDE|KiroCLI(?!:)|AmazonQ-For|aws-sdk-\w+\/\d|machine-?id/i
    t.notMatch(readFileSync(join(root, path), 'utf8'), foreign, path)
  }
})
