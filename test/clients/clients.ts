import { parseArgs } from 'node:util'
import { CLIENTS } from './catalogue.ts'
import { writeCompatibility } from './compatibility-page.ts'
import { resultsTable } from './results-table.ts'
import { runClients } from './run-clients.ts'

/** `npm run test:clients [-- --only codex] [--keep] [--write]`: exits with 1 if anything failed. */

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    jobs: { type: 'string', default: '2' },
    keep: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false }
  }
})
if (values.write && values.only.length > 0)
  throw new Error('--write needs all clients, without --only')
const ended = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => ended.abort(new Error(`ended by ${name}`)))
}
const results = await runClients({
  clients: CLIENTS.filter(({ id }) => values.only.length === 0 || values.only.includes(id)),
  jobs: Number(values.jobs),
  keepLogs: values.keep,
  signal: ended.signal,
  onProgress: (line) => void process.stderr.write(`${line}\n`)
})
const table = resultsTable(results)
process.stdout.write(table)
if (values.write) writeCompatibility(table)
const hasFailed = results.some(({ findings }) => findings.some(({ problem }) => problem !== null))
process.exitCode = hasFailed || results.length === 0 ? 1 : 0
