import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { endLeftovers } from './leftovers.ts'

const SLEEP = ['-e', 'process.stdout.write("up"); setInterval(() => {}, 1000)']

t.test('endLeftovers() ends processes with that home and no others', async (t) => {
  const [mine, other] = await Promise.all(['/home/of-mine', '/home/of-mine-2'].map(startIn))
  t.teardown(() => other!.kill('SIGKILL'))
  const ended = once(mine!, 'exit')
  endLeftovers('/home/of-mine')
  t.same(await ended, [null, 'SIGKILL'])
  t.equal(other!.signalCode, null)
})

async function startIn(home: string) {
  const child = spawn(process.execPath, SLEEP, { env: { HOME: home }, stdio: 'pipe' })
  await once(child.stdout, 'data')
  return child
}
