import { SimulatedAccount } from './account.ts'
import { SimulatedUpstream } from './request-handler.ts'
import { listen } from './simulator.ts'

/** Sends `{type: 'simulator.ready', port}` to its parent and lives as long as the channel to it. */
const { server, port } = await listen(new SimulatedUpstream(new SimulatedAccount()))

// Before the parent learns that it runs: a signal may follow at once.
process.once('SIGTERM', stop)
// Ctrl-C and the end of a terminal reach the whole group, but the parent has answers to finish.
process.on('SIGINT', () => {}).on('SIGHUP', () => {})
process.once('disconnect', stop)
process.send?.({ type: 'simulator.ready', port })

function stop(): void {
  server.close()
  server.closeAllConnections()
  if (process.connected) process.disconnect()
}
