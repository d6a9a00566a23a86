import { Simulator } from './simulator.ts'

/** Measured: with what is made of bodies, it takes four times as much of the heap, which the gateway bounds to 64 MB. */
const MAX_HELD_BYTES = 8 * 1024 * 1024

/** Sends `{type: 'simulator.ready', port}` to its parent and lives as long as the channel to it. */
const simulator = new Simulator({ maxHeldBytes: MAX_HELD_BYTES })
const { port } = await simulator.start()

// Before the parent learns that it runs: a signal may follow at once.
process.once('SIGTERM', stop)
// Ctrl-C and the end of a terminal reach the whole group, but the parent has answers to finish.
process.on('SIGINT', () => {}).on('SIGHUP', () => {})
process.once('disconnect', stop)
process.send?.({ type: 'simulator.ready', port })

function stop(): void {
  void simulator.close()
  if (process.connected) process.disconnect()
}
