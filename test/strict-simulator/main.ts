import { parseArgs } from 'node:util'
import { judgeCapture } from './judge-capture.ts'
import { Simulator } from './simulator.ts'

/**
 * Runs the simulator alone: `npm run simulator -- --port 8080`, which refuses one form of request with
 * `--refuse-form path`, and too many requests with `--per-minute 60`. `--judge FOLDER` judges a capture instead.
 */
const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    'refuse-form': { type: 'string' },
    'per-minute': { type: 'string' },
    judge: { type: 'string' }
  }
})
if (values.judge !== undefined) {
  const { isOk, lines } = await judgeCapture(values.judge)
  for (const line of lines) process.stdout.write(`${line}\n`)
  process.exit(isOk ? 0 : 1)
}
const refusedForm = values['refuse-form']
const perMinute = Number(values['per-minute'] ?? 0)
const simulator = new Simulator({
  host: values.host,
  port: Number(values.port),
  ...((refusedForm === 'path' || refusedForm === 'target') && { refusedForm }),
  ...(perMinute > 0 && { rate: { requests: perMinute } })
})
const { url } = await simulator.start()

process.once('SIGTERM', () => void simulator.close())
process.once('SIGINT', () => void simulator.close())
process.stdout.write(`Kiro simulator on ${url}; control words: docs/lab/simulator.md\n`)
