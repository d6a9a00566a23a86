import { registerHooks } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'

const root = join(import.meta.dirname, '../..')
const SCHEME = 'tap-of:'

/** The test that a file finds as `tap`: that of its own, with its own time and teardowns. */
const owns = new Map<string, Test>()

/** For the modules that stand in for `tap`. */
export function ownOf(url: string): Test | undefined {
  return owns.get(url)
}

registerHooks({
  resolve(specifier, context, next) {
    const importer = context.parentURL ?? ''
    return specifier === 'tap' && owns.has(importer)
      ? { url: `${SCHEME}${importer}`, format: 'module', shortCircuit: true }
      : next(specifier, context)
  },
  load(url, context, next) {
    if (!url.startsWith(SCHEME)) return next(url, context)
    const importer = JSON.stringify(url.slice(SCHEME.length))
    const source = `import { ownOf } from ${JSON.stringify(import.meta.url)}; export default ownOf(${importer})`
    return { format: 'module', source, shortCircuit: true }
  }
})

/** Longer than any file of a room gives itself: one that takes too long fails alone. */
const FILE_MS = 2_000_000

/** Runs test files one after the other in this process, each as a test that has its name. */
export async function runRoom(files: readonly string[]): Promise<void> {
  for (const file of files) {
    const { href } = pathToFileURL(resolve(root, file))
    t.setTimeout(FILE_MS) // starts anew, for tap, too, which would give all files together the time of one
    await t.test(file, async (own) => {
      owns.set(href, own)
      await import(href)
    })
  }
}
