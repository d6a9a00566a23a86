import { gzipSync } from 'node:zlib'
import t from 'tap'
import { PACKAGE_FILES } from '../../../src/server/http/page-files.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'

const MOST_BYTES = 120_000

/** Files that a file of the page asks for, by the paths that it names. */
function namedIn(name: string, text: string): readonly string[] {
  if (name === '')
    return [...text.matchAll(/(?:src|href)="dashboard\/([^"]+)"/g)].map(([, path = '']) => path)
  if (!name.endsWith('.js')) return []
  const from = new URL(name, 'http://page/')
  const code = text.replaceAll(/\/\*.*?\*\//gs, '') // types are imported in comments
  return [...code.matchAll(/(?:from|import)\s*["'](\.[^"']+)["']/g)].map(([, path = '']) =>
    new URL(path, from).pathname.slice(1)
  )
}

t.test('the whole page needs less than 120 KB over the network', async (t) => {
  const primary = await FakePrimary.start(t, new URL('http://127.0.0.1:9'))
  const weights = new Map<string, number>()
  const wanted = ['']
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    if (weights.has(name)) continue
    const answer = await fetch(`${primary.url}/${name === '' ? '' : `dashboard/${name}`}`)
    t.equal(answer.status, 200, name)
    const text = await answer.text()
    weights.set(name, gzipSync(text).byteLength)
    wanted.push(...namedIn(name, text))
  }
  for (const name of PACKAGE_FILES.keys()) t.ok(weights.has(name), `${name} is used`)
  t.ok(weights.has('main.js') && weights.has('gateway.js') && weights.has('page.css'))
  const sum = [...weights.values()].reduce((all, one) => all + one, 0)
  t.ok(sum < MOST_BYTES, `${sum} bytes in ${weights.size} files`)
})
