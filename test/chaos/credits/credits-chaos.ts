import { parseArgs } from 'node:util'
import { creditsText } from './credits-text.ts'
import { runCredits } from './run-credits.ts'

/** `npm run chaos:credits -- --minutes 60 --seed 1 --clients 2`: exits with 1 if any two sums differ (docs/lab/chaos.md). */

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    clients: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' }
  }
})
const ended = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => ended.abort(new Error(`ended by ${name}`)))
}
const findings = await runCredits({
  signal: ended.signal,
  seconds: Number(values.minutes) * 60,
  clients: Number(values.clients),
  seed: Number(values.seed),
  pauseMs: 8_000,
  onProgress: (line) => void process.stderr.write(`credits ${line}\n`)
})
process.stdout.write(creditsText(findings))
process.exitCode = findings.violations.length === 0 ? 0 : 1
