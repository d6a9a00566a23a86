import { parseArgs } from 'node:util'
import { reportText } from './report.ts'
import { runChaos } from './run-chaos.ts'
import { violationsOf } from './violations.ts'

/** `npm run chaos -- --minutes 60 --workers 2 --clients 500 --seed 1 --tls`: exits with 1 if anything was violated. */

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    workers: { type: 'string', default: '2' },
    clients: { type: 'string', default: '500' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    tls: { type: 'boolean', default: false }
  }
})
const ended = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => ended.abort(new Error(`ended by ${name}`)))
}
const findings = await runChaos({
  signal: ended.signal,
  seconds: Number(values.minutes) * 60,
  workers: Number(values.workers),
  clients: Number(values.clients),
  seed: Number(values.seed),
  tls: values.tls,
  onProgress: (line) => void process.stderr.write(`chaos ${line}\n`)
})
process.stdout.write(reportText(findings))
process.exitCode = violationsOf(findings).length === 0 ? 0 : 1
