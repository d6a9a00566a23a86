import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isNightly } from '../helper/nightly.ts'
import { runOnMachine, whyNoMachine } from './machine.ts'
import { packVersions } from './package-registry.ts'

/*
 * Each guide, tried word by word from an empty machine: `npm run guides`, or with the names of guides `npm run guides -- team 503`.
 * Needs Linux, root, and Debian's caddy, valkey-server and kustomize. With GUIDES_SHOWN=1 it prints what each reader sees.
 */

const ROOT = join(import.meta.dirname, '../..')
const GUIDES = join(ROOT, 'docs/guides')
const GUIDE_MS = 1_800_000
/** Readers wait more than they compute. */
const READERS = 2

t.setTimeout(3 * GUIDE_MS)
t.jobs = READERS

const wanted = process.argv.slice(2)
const names = readdirSync(GUIDES)
  .map((file) => file.replace(/\.md$/, ''))
  .filter((name) => wanted.length === 0 || wanted.includes(name))
const skip = isNightly ? await whyNoMachine() : 'takes minutes: npm run nightly'

const packages = mkdtempSync(join(tmpdir(), 'kiro-gateway-packages-'))
t.teardown(() => rmSync(packages, { recursive: true, force: true }))
if (skip === false) await packVersions(packages)
const npm = execFileSync('which', ['npm'], { encoding: 'utf8' }).trim()

t.ok(names.length > 0, 'there are guides')
for (const name of names) {
  t.test(`docs/guides/${name}.md`, { skip }, async (t) => {
    const runner = join(import.meta.dirname, 'run-guide.ts')
    const argv = [
      process.execPath,
      '--no-warnings',
      runner,
      join(GUIDES, `${name}.md`),
      packages,
      npm
    ]
    const { code, output } = await runOnMachine(argv, GUIDE_MS)
    if (code !== 0 || process.env['GUIDES_SHOWN'] === '1') t.comment(output)
    t.equal(code, 0, 'everything is as the page says')
  })
}
