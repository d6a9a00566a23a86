import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ErrorTable } from '../../../src/shared/error-table.ts'
import { DocPages, INDEX, LLMS } from '../../../src/server/http/doc-pages.ts'

const REPOSITORY = 'https://github.com/kiro-gateway/kiro-gateway/blob/main/'

/** A project with few pages, one of which no gateway serves. */
function project(t: Test): DocPages {
  const folder = t.testdir({
    'llms.txt':
      '- [Team](docs/guides/team.md)\n- [API](docs/openapi.json)\n- [Box](docker/README.md)\n',
    docs: {
      'README.md': '# All\n\n[team](guides/team.md)\n',
      'keys.md': '# Keys & `limits`\n\n## A key\n\n## A key\n\n![A picture](keys.png)\n',
      lab: { 'abuse.md': '# Abuse\n' },
      guides: {
        'team.md': [
          '# A team',
          '<!-- as root -->',
          '[keys](../keys.md#a-key) [all](../README.md) [lab](../lab/abuse.md#x) [out](https://example.com/)',
          '[here](#a-team) [box](../../docker/README.md) [api](../openapi.json) <script>alert(1)</script>',
          '```sh',
          'echo "<not a tag>"',
          '```'
        ].join('\n')
      }
    }
  })
  return new DocPages(folder)
}

t.test('a page for browsers', async (t) => {
  const pages = project(t)
  const team = await pages.body('docs/guides/team.md')
  t.match(team, '<h1 id="a-team">A team</h1>')
  for (const link of [
    '<a href="../keys#a-key">keys</a>',
    '<a href="../guides">all</a>',
    `<a href="${REPOSITORY}docs/lab/abuse.md#x">lab</a>`,
    '<a href="https://example.com/">out</a>',
    '<a href="#a-team">here</a>',
    `<a href="${REPOSITORY}docker/README.md">box</a>`,
    '<a href="../../openapi.json">api</a>'
  ])
    t.ok(team.includes(link), link)
  t.notMatch(team, /<script|<!--/)
  t.match(team, 'echo &quot;&lt;not a tag&gt;&quot;')
  const keys = await pages.body('docs/keys.md')
  t.match(keys, '<h1 id="keys--limits">Keys &amp; <code>limits</code></h1>')
  t.match(keys, 'id="a-key-1"', 'the second of a name')
  t.match(keys, `<a href="${REPOSITORY}docs/keys.png">A picture</a>`)
  t.match(await pages.body(INDEX), '<a href="guides/team">team</a>')
})

t.test('the same for programs', async (t) => {
  const pages = project(t)
  const team = await pages.markdown('docs/guides/team.md')
  t.match(team, '[keys](../keys.md#a-key) [all](../README.md)')
  t.match(team, `[lab](${REPOSITORY}docs/lab/abuse.md#x) [out](https://example.com/)`)
  t.equal(
    await pages.markdown(LLMS),
    `- [Team](docs/guides/team.md)\n- [API](openapi.json)\n- [Box](${REPOSITORY}docker/README.md)\n`
  )
})

t.test('nothing but pages is served', async (t) => {
  const pages = project(t)
  for (const page of [
    'docs/nothing.md',
    'docs/lab/abuse.md',
    'docs/../docs/keys.md',
    'docs/guides/../../package.json',
    'docs/.md',
    'llms'
  ]) {
    await t.rejects(pages.body(page), { code: 'GW_ROUTE_UNKNOWN' }, page)
    await t.rejects(pages.markdown(page), { code: 'GW_ROUTE_UNKNOWN' }, page)
  }
  t.same(
    await new DocPages(join(import.meta.dirname, 'none'))
      .body('docs/keys.md')
      .catch((cause) => cause.code),
    'GW_ROUTE_UNKNOWN',
    'nor where there are none'
  )
})

t.test('the panel leads to the row of each code', async (t) => {
  const errors = await new DocPages().body('docs/errors.md')
  for (const code of Object.keys(ErrorTable))
    t.ok(errors.includes(`<code id="${code.toLowerCase()}">${code}</code>`), code)
})

t.test('every page of the project is HTML without raw Markdown', async (t) => {
  const pages = new DocPages()
  for (const page of [
    'docs/README.md',
    'docs/errors.md',
    'docs/operations.md',
    'docs/guides/vps.md'
  ]) {
    const body = await pages.body(page)
    t.ok(body.startsWith('<h1 id='), page)
    const ids = Array.from(body.matchAll(/ id="([^"]*)"/g), ([, id]) => id)
    t.equal(new Set(ids).size, ids.length, 'no id twice')
    t.notMatch(body.replaceAll(/<(pre|code)[^]*?<\/\1>/g, ''), /\]\(|^\| /m, page)
  }
})
