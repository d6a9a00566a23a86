import { parseArgs } from 'node:util'
import { runRace } from './race/race.ts'

/**
 * `node test/chaos/sign-in-race.ts --seconds 60 --source file --seed 1`: two clusters, an IDE and a CLI on one sign-in whose
 * tokens last a second, while processes are killed; exits with 1 if anything was violated. `--strangers`: IDE and CLI know
 * nothing of the lock, as the real ones. `--slow`: one gateway alone, whose tokens live 3 s and take 3 s to renew.
 */

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    source: { type: 'string', default: 'file' },
    seed: { type: 'string', default: '1' },
    clients: { type: 'string', default: '20' },
    strangers: { type: 'boolean', default: false },
    slow: { type: 'boolean', default: false }
  }
})
const report = await runRace({
  seconds: Number(values.seconds),
  source: values.source === 'database' ? 'database' : 'file',
  seed: Number(values.seed),
  clients: Number(values.clients),
  areStrangers: values.strangers,
  kind: values.slow ? 'slow' : 'race',
  onProgress: (line) => void process.stderr.write(`race ${line}\n`)
})
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
process.exitCode = report.violations.length === 0 ? 0 : 1
