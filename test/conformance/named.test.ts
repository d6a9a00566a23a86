import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'

const EXAMPLES = 53
const POINTS = 40
/** In the title of a test, the name of a case, or the comment of a row: `A7`, `C3`. */
const NAME = /(?<![\w-])([AC]\d{1,2})(?![\w-])/g

/** Which examples and points the tests name. */
function namesIn(folder: string): ReadonlySet<string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
    ({ name }) =>
      (name.endsWith('.test.ts') && name !== basename(import.meta.filename)) ||
      name === 'request-examples.json'
  )
  const texts = files.map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'utf8'))
  return new Set(texts.flatMap((text) => [...text.matchAll(NAME)].map(([, name = '']) => name)))
}

t.test(
  'every worked example and every point of the checklist has a test that names it',
  async (t) => {
    const named = namesIn(join(import.meta.dirname, '..'))
    const due = [
      ...Array.from({ length: EXAMPLES }, (_, index) => `A${index + 1}`),
      ...Array.from({ length: POINTS }, (_, index) => `C${index + 1}`)
    ]
    const unnamed = due.filter((name) => !named.has(name))
    t.same(unnamed, [])
  }
)
