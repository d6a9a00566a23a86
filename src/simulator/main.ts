import { parseArgs } from 'node:util'
import { Simulator } from './simulator.ts'
import { CONTROL_WORDS } from './words.ts'

/**
 * Runs the simulator alone: `npm run simulator -- --port 8080`, which refuses one form of request with
 * `--refuse-form path`, and too many requests with `--per-minute 60`. Started by `fork()`, it tells its parent the port in `{type: 'simulator.ready', port}` and lives as long as the channel to it.
 */
const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    'refuse-form': { type: 'string' },
    'per-minute': { type: 'string' }
  }
})
const refusedForm = values['refuse-form']
const perMinute = Number(values['per-minute'] ?? 0)
const simulator = new Simulator({
  host: values.host,
  port: Number(values.port),
  ...((refusedForm === 'path' || refusedForm === 'target') && { refusedForm }),
  ...(perMinute > 0 && { rate: { requests: perMinute } })
})
const { url, port } = await simulator.start()

// Listened to before the parent learns that it runs: from then on a signal may come.
process.once('SIGTERM', stop)
if (process.send === undefined) {
  process.once('SIGINT', stop)
  const words = Object.keys(CONTROL_WORDS).map((word) => `sim:${word}`)
  process.stdout.write(`Kiro simulator on ${url}; control words: ${words.join(' ')}\n`)
} else {
  // Ctrl-C, and the end of a terminal, reach the whole group; the parent has answers to finish.
  process.on('SIGINT', () => {}).on('SIGHUP', () => {})
  process.once('disconnect', stop)
  process.send({ type: 'simulator.ready', port })
}

/** The process ends by itself once the server and the channel are closed. */
function stop(): void {
  void simulator.close()
  if (process.connected) process.disconnect()
}
