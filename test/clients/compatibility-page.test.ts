import t from 'tap'
import { withSection } from './compatibility-page.ts'

t.test('withSection()', async (t) => {
  t.test('replaces the section with that heading, and no other', async (t) => {
    const page = '# Page\n\n## One\n\nold\n\n## Two\n\nkept\n'
    t.equal(withSection(page, '## One\n\nnew\n'), '# Page\n\n## One\n\nnew\n\n## Two\n\nkept\n')
    t.equal(withSection(page, '## Two\n\nnew\n'), '# Page\n\n## One\n\nold\n\n## Two\n\nnew\n')
  })

  t.test('adds it at the end of a page without one', async (t) => {
    t.equal(withSection('# Page\n', '## One\n\nnew\n'), '# Page\n\n## One\n\nnew\n')
  })

  t.test('changes nothing when it is put in a second time', async (t) => {
    const page = withSection('# Page\n\n## Two\n\nkept\n', '## One\n\nnew\n')
    t.equal(withSection(page, '## One\n\nnew\n'), page)
  })
})
