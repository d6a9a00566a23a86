import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '..')

/** First words that continue the line above instead of naming the thing that the comment documents. */
const FIRST_WORD = /^\s*(?:\/\*\*|\*) (?:Of|What|Who|Those|So|Where|Which|Whose|How|Whether)\b/

function commentsThatNameNothing(text: string): readonly string[] {
  return text.split('\n').filter((line) => FIRST_WORD.test(line))
}

t.test('comments begin with a verb or with the thing that they document', async (t) => {
  const paths = ['src', 'workers'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.(?:ts|js)$/.test(path))
      .map((path) => join(folder, path))
  )
  t.ok(paths.length > 400, `${paths.length} files`)
  const found = paths.flatMap((path) =>
    commentsThatNameNothing(readFileSync(join(root, path), 'utf8')).map(
      (line) => `${path}: ${line}`
    )
  )
  t.same(found, [])
})

t.test('commentsThatNameNothing()', async (t) => {
  const wrong = [
    '/** Of the body. */',
    '  /** What is kept. */',
    '   * Whether it fits.',
    ' * So it stays.'
  ]
  t.same(commentsThatNameNothing(wrong.join('\n')), wrong)
  const right = ['/** Bytes of the body. */', ' * Offsets, of what is kept.', '// What follows']
  t.same(commentsThatNameNothing(right.join('\n')), [])
})
