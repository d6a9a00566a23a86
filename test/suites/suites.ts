import { parseArgs } from 'node:util'
import { writeSection } from '../clients/compatibility-page.ts'
import { SUITES } from './catalogue.ts'
import { runSuites } from './run-suites.ts'
import { suitesSection } from './suites-page.ts'

/** `npm run suites [-- --only langchain] [--write] [--required]`: exits with 1 if anything failed that no exclusion explains. */

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    write: { type: 'boolean', default: false },
    required: { type: 'boolean', default: false }
  }
})
if (values.write && values.only.length > 0)
  throw new Error('--write needs all suites, without --only')
const ended = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => ended.abort(new Error(`ended by ${name}`)))
}
const results = await runSuites({
  suites: SUITES.filter(({ id }) => values.only.length === 0 || values.only.includes(id)),
  signal: ended.signal,
  onProgress: (line) => void process.stderr.write(`${line}\n`)
})
const section = suitesSection(results)
process.stdout.write(section)
if (values.write) writeSection(section)
const hasFailed = results.some(({ verdict }) =>
  verdict === null ? values.required : verdict.failures.length > 0
)
process.exitCode = hasFailed || results.length === 0 ? 1 : 0
