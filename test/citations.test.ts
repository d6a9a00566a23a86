import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'

/** What can be cited of a page of `docs/`. */
interface Page {
  /** From `docs/`, without its ending. */
  readonly path: string
  /** `4`, `4.7`, `10.2.1`. */
  readonly sections: ReadonlySet<string>
  /** `E4` and `H1` begin a row of a table. */
  readonly items: ReadonlySet<string>
}

type Pages = ReadonlyMap<string, Page>

/** Where a section without the name of its page is, and everything that has a number of its own. */
const MAIN_PAGE = 'kiro-protocol'
/** Words that may stand before such a section; any other word there is taken for the name of a page. */
const JOINING_WORDS: ReadonlySet<string> = new Set('and by in of see to'.split(' '))

const SECTION = /(?:(?<before>RFC \d+|[\w-]+) )?§(?<number>\d+(?:\.\d+)*)?/g
const ITEM = /(?<![\w%#-])[EH]\d{1,2}(?![\w%-])/g
const COMMENT = /\/\*[^]*?\*\/|(?<![:'"`])\/\/.*/g
const FILE = /(?<![\w/-])docs\/(?<path>(?:[a-z]+\/)?(?<name>[\w-]+))\.md/g

const root = join(import.meta.dirname, '..')

function readPage(text: string, path: string): Page {
  const rows = [...text.matchAll(/^\| ([A-Z]\d+) \|/gm)].map(([, item = '']) => item)
  return {
    path,
    sections: new Set(
      [...text.matchAll(/^#{2,6} (\d+(?:\.\d+)*)\.? /gm)].map(([, number = '']) => number)
    ),
    items: new Set(rows)
  }
}

/** Citations that lead nowhere, as they stand in the text. */
function lostCitations(text: string, pages: Pages): readonly string[] {
  const line = text.replaceAll(/\n[ \t]*(?:\*|\/\/)?[ \t]*/g, ' ')
  const main = pages.get(MAIN_PAGE)
  return [
    ...[...line.matchAll(SECTION)].filter(({ groups }) => {
      const { before = '', number = '' } = groups ?? {}
      if (before.startsWith('RFC ')) return false
      const page = before === '' || JOINING_WORDS.has(before) ? main : pages.get(before)
      return page?.sections.has(number) !== true
    }),
    ...[...line.matchAll(ITEM)].filter(([item]) => main?.items.has(item) !== true),
    ...commentsOf(text)
      .flatMap((comment) => [...comment.matchAll(FILE)])
      .filter(({ groups }) => pages.get(groups?.['name'] ?? '')?.path !== groups?.['path'])
  ].map(([citation]) => citation)
}

/** Strings may hold made-up paths. */
function commentsOf(text: string): readonly string[] {
  return [...text.matchAll(COMMENT)].map(([comment]) => comment)
}

function readPages(): Pages {
  const folder = join(root, 'docs')
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md') && !path.startsWith('guides/'))
    .map((path) => path.slice(0, -3))
  return new Map(
    paths.map((path) => [
      basename(path),
      readPage(readFileSync(join(folder, `${path}.md`), 'utf8'), path)
    ])
  )
}

/** All sources but this one, whose citations are made up, and the pages themselves. */
function citingPaths(): readonly string[] {
  return ['src', 'workers', 'test', 'docs'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(?:[cm]?[jt]s|md)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => path !== import.meta.filename)
  )
}

t.test('what comments and pages cite of docs/ is there', async (t) => {
  const pages = readPages()
  const paths = citingPaths()
  let citations = 0
  for (const path of paths) {
    const text = readFileSync(path, 'utf8')
    citations += text.split('§').length - 1
    const lost = lostCitations(text, pages)
    if (lost.length > 0) t.fail(`${path.slice(root.length + 1)} cites ${lost.join(', ')}`)
  }
  t.ok(citations > 150, `${citations} citations in ${paths.length} files`)
})

t.test('the checker', (t) => {
  const pages: Pages = new Map([
    [
      MAIN_PAGE,
      readPage(
        ['# Title\n', '## 1. One\n', '### 1.1 Part', '#### 1.1.2 Part of it', '| H7 | rule |'].join(
          '\n'
        ),
        MAIN_PAGE
      )
    ],
    ['architecture', readPage('# Title\n\n## 5. Rules\n', 'design/architecture')]
  ])

  t.test('finds what is there', async (t) => {
    for (const text of [
      '/** As it must be (kiro-protocol §1.1). */',
      '/** As it must be (§1.1.2, §1), after architecture §5. */',
      '/**\n * As it must be (kiro-protocol\n * §1.1, H7).\n */',
      "source: '§1.1 with more words'",
      '// images of §1.1, see §1 and §1.1.2: RFC 9110 §15.5',
      '// docs/design/architecture.md, https://example.com/docs/other.md',
      "read('docs/made-up.md')",
      "const colour = '#E99 %E99 xE99 E99B'"
    ]) {
      t.same(lostCitations(text, pages), [], text)
    }
  })

  t.test('finds what is missing', async (t) => {
    for (const [text, lost] of [
      ['/** (kiro-protocol §1.2) */', 'kiro-protocol §1.2'],
      ['/** (§1.1.1) */', '§1.1.1'],
      ['// architecture §1', 'architecture §1'],
      ['/** (kiro-protocol §1.1, §2) */', '§2'],
      ['/** (kiro-protocol\n * §9) */', 'kiro-protocol §9'],
      ['// design §1', 'design §1'],
      ['// §one', '§'],
      ['/** (H8) */', 'H8'],
      ['// see docs/design.md', 'docs/design.md'],
      ['/**\n * See\n * docs/design.md.\n */', 'docs/design.md'],
      ['f() // docs/design.md', 'docs/design.md']
    ] as const) {
      t.same(lostCitations(text, pages), [lost], text)
    }
  })
  t.end()
})
