import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'

const LISTENER = `require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 },
  function () { console.log(this.address().port) })`
/** On loopback a connection takes no time. */
const PATIENCE_MS = 500
const MAX_TRIES = 20

/**
 * A port on loopback whose packets are dropped, as a firewall drops them: the process that listens has been stopped, and
 * its queue is full.
 */
export async function deafPort(t: { teardown(close: () => unknown): void }): Promise<number> {
  const child = spawn(process.execPath, ['-e', LISTENER], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const port = Number(line.toString())
  child.kill('SIGSTOP')
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const socket = connect({ host: '127.0.0.1', port })
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    const isTaken = once(socket, 'connect', { signal: AbortSignal.timeout(PATIENCE_MS) })
    if (!(await isTaken.then(Boolean, () => false))) return port
  }
  throw new Error('the queue of the port never became full')
}
