import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { BUILT_IN_MODELS } from '../../src/kiro/models/models.ts'

const ROOT = join(import.meta.dirname, '../..')

/** What people and programs copy names from. What the upstream speaks, and what has changed, tell of old ones, too. */
const SHOWN = [
  'README.md',
  'llms.txt',
  '.env.example',
  'docker',
  'docs',
  ':!docs/design',
  ':!docs/lab',
  'src/cli',
  'src/config',
  'src/dashboard/page'
]

const retired = BUILT_IN_MODELS.filter(({ lifecycle }) => lifecycle !== undefined)

/** Either way of writing a version, and no longer name that only begins like it. */
function patternOf(id: string): RegExp {
  return new RegExp(`\\b${id.replaceAll('.', '[.-]')}(?![.\\d]*\\d)`)
}

t.test('no page, example, help or panel names a model that was retired', async (t) => {
  t.ok(retired.length > 0)
  const paths = execFileSync('git', ['ls-files', '--', ...SHOWN], { cwd: ROOT, encoding: 'utf8' })
  const files = paths
    .split('\n')
    .filter((path) => /\.(?:md|txt|ts|js|json|html|example|yml)$/.test(path))
  t.ok(files.length > 100, `${files.length} files`)
  for (const path of files) {
    const text = readFileSync(join(ROOT, path), 'utf8')
    for (const { id } of retired) if (patternOf(id).test(text)) t.fail(`${path} names ${id}`)
  }
})

t.test('a retired name is found however it is written', async (t) => {
  const pattern = patternOf('claude-sonnet-4.5')
  for (const found of ['claude-sonnet-4.5', '"claude-sonnet-4-5",', 'claude-sonnet-4-5-20250929'])
    t.match(found, pattern)
  for (const other of ['claude-sonnet-4', 'claude-sonnet-5.5', 'claude-sonnet-4.51'])
    t.notMatch(other, pattern)
})
