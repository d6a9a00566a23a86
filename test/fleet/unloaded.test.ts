import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '../..')
/** What a process loads before it knows of any setting: imports that are neither of types only nor made later. */
const IMPORT = /^(?:import|export) (?!type )(?:[^']*? from )?'([^']+)'/gm

function loadedBy(entry: string): ReadonlySet<string> {
  const seen = new Set<string>()
  const left = [join(root, entry)]
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    if (seen.has(path)) continue
    seen.add(path)
    for (const [, specifier = ''] of readFileSync(path, 'utf8').matchAll(IMPORT)) {
      if (specifier.startsWith('.') && specifier.endsWith('.ts')) {
        left.push(resolve(dirname(path), specifier))
      } else seen.add(specifier)
    }
  }
  return seen
}

t.test('without FLEET_URL nothing of a fleet is loaded', async (t) => {
  for (const entry of ['src/main.ts', 'src/control/primary.ts', 'src/server/worker.ts']) {
    const loaded = [...loadedBy(entry)]
    t.ok(loaded.length > 10, `${entry}: ${loaded.length} files`)
    const ofFleet = loaded.filter((path) =>
      /ioredis|\/src\/fleet\/|\/control\/fleet\/|fleet-contact/.test(path)
    )
    t.same(ofFleet, [], entry)
  }
  const withFleet = [...loadedBy('src/control/fleet/fleet-control.ts')]
  t.ok(
    withFleet.some((path) => path.endsWith('/fleet-core.ts')),
    'the look sees it where it is'
  )
})
