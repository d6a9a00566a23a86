import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { ErrorTable } from '../../src/shared/error-table.ts'
import { readGuide } from '../guides/guide-page.ts'

const ROOT = join(import.meta.dirname, '../..')
const INDEX = 'docs/README.md'

/** Every page of the project, by its path from the root. */
const pages = ['.', '.github', 'docker', 'docker/kubernetes', ...foldersOf('docs')].flatMap(
  (folder) =>
    readdirSync(join(ROOT, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => join(folder, name))
)

/** A folder and all below it. */
function foldersOf(folder: string): readonly string[] {
  const below = readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1))
  return [folder, ...below]
}

interface Link {
  /** From the root; the page itself where the link is a mere fragment. */
  readonly path: string
  readonly fragment: string
}

/** The relative links of a page, without those in code. */
function linksOf(path: string, markdown: string): readonly Link[] {
  const targets = [...withoutCode(markdown).matchAll(/\]\(([^)\s]+)\)/g)].map(
    ([, target = '']) => target
  )
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [file = '', fragment = ''] = target.split('#')
      return { path: file === '' ? path : join(dirname(path), file), fragment }
    })
}

/** The names by which GitHub finds the headings of a page. */
function anchorsOf(markdown: string): readonly string[] {
  const seen = new Map<string, number>()
  return [...markdown.replaceAll(/^```[^]*?^```$/gm, '').matchAll(/^#+ (.+)$/gm)].map(
    ([, heading = '']) => {
      const name = heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-')
      const count = seen.get(name) ?? 0
      seen.set(name, count + 1)
      return count === 0 ? name : `${name}-${count}`
    }
  )
}

function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^```[^]*?^```$/gm, '').replaceAll(/`[^`\n]*`/g, '')
}

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

t.test('every link of a page leads to a file, and its fragment to a heading', async (t) => {
  const links = pages.flatMap((from) => linksOf(from, read(from)).map((link) => ({ from, link })))
  t.ok(links.length > 40, `${links.length} links`)
  for (const { from, link } of links) {
    const { path, fragment } = link
    if (!existsSync(join(ROOT, path))) t.fail(`${from} leads to ${path}, which is not there`)
    else if (fragment !== '' && !anchorsOf(read(path)).includes(fragment))
      t.fail(`${from} leads to ${path}#${fragment}, which has no such heading`)
  }
})

t.test('the index leads to every page of docs/', async (t) => {
  const reached = new Set(linksOf(INDEX, read(INDEX)).map(({ path }) => path))
  const docs = pages.filter((path) => path.startsWith('docs/') && path !== INDEX)
  t.ok(docs.length > 30)
  t.same(
    docs.filter((path) => !reached.has(path)),
    []
  )
})

t.test('pages call the id of a request as the log does', async (t) => {
  const wrong = pages.filter((path) => path !== 'CHANGELOG.md' && /\breqId\b/.test(read(path)))
  t.same(wrong, [], 'it is `request_id`')
})

t.test('pages name codes that there are; `GW_X_` stands for all that begin so', async (t) => {
  const codes = Object.keys(ErrorTable)
  for (const path of pages.filter((path) => path !== 'CHANGELOG.md'))
    for (const [name] of read(path).matchAll(/\bGW_[A-Z_]+/g)) {
      const isNamed = codes.some(
        (code) => code === name || (name.endsWith('_') && code.startsWith(name))
      )
      if (!isNamed) t.fail(`${path} names ${name}`)
    }
})

t.test('README is short enough to be read to the end', async (t) => {
  const lines = read('README.md').split('\n').length
  t.ok(lines <= 121, `${lines} lines`)
})

t.test('a guide has at most 800 words, and its comments can be read', async (t) => {
  const guides = pages.filter((path) => dirname(path) === 'docs/guides')
  t.ok(guides.length >= 11, `${guides.length} guides`)
  for (const path of guides) {
    const words = read(path).split(/\s+/).filter(Boolean).length
    t.ok(words <= 800, `${path} has ${words} words`)
    t.ok(
      readGuide(read(path)).steps.some(({ notRun }) => notRun === null),
      `${path} is tried`
    )
  }
})

t.test('linksOf()', async (t) => {
  const markdown =
    '[a](b.md) [`c`](../d.md#e-f) [g](#h) [i](https://j) `[k](l)`\n```\n[m](n)\n```\n'
  t.same(linksOf('docs/x.md', markdown), [
    { path: 'docs/b.md', fragment: '' },
    { path: 'd.md', fragment: 'e-f' },
    { path: 'docs/x.md', fragment: 'h' }
  ])
})

t.test('anchorsOf()', async (t) => {
  const markdown = '# `A` b, c_d\n```sh\n# no heading\n```\n## 1. Über-x\n## Same\n### Same\n'
  t.same(anchorsOf(markdown), ['a-b-c_d', '1-über-x', 'same', 'same-1'])
})

t.test(
  'docs/design/architecture.md leads to files that are there, and to functions that are in them',
  async (t) => {
    const rows = read('docs/design/architecture.md')
      .split('\n')
      .filter((line) => line.startsWith('| '))
    let places = 0
    for (const row of rows)
      for (const [, name, path = ''] of row.matchAll(
        /(?:`(?:\w+\.)?(\w+)(?:\(\))?` in )?`(src\/[\w/.-]+)`/g
      )) {
        places++
        if (!existsSync(join(ROOT, path))) t.fail(`${path} is not there`)
        else if (name !== undefined)
          t.match(read(path), new RegExp(`\\b${name}\\b`), `${name} in ${path}`)
      }
    t.ok(places > 20, `${places} places`)
  }
)
