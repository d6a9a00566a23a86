import { Simulator } from './simulator.ts'

/** The gateway's own simulator. Tells its parent the port in `{type: 'simulator.ready', port}` and lives as long as the channel to it. */
const simulator = new Simulator()
const { port } = await simulator.start()

// Listened to before the parent learns that it runs: from then on a signal may come.
process.once('SIGTERM', stop)
// Ctrl-C, and the end of a terminal, reach the whole group; the parent has answers to finish.
process.on('SIGINT', () => {}).on('SIGHUP', () => {})
process.once('disconnect', stop)
process.send?.({ type: 'simulator.ready', port })

/** The process ends by itself once the server and the channel are closed. */
function stop(): void {
  void simulator.close()
  if (process.connected) process.disconnect()
}
