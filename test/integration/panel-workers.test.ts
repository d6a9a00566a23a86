import t from 'tap'
import { startGateway } from '../helper/gateway-process.ts'
import { PanelClient } from '../helper/panel-client.ts'

/* A change is answered when all workers go by it, and says which one does not answer. */

t.setTimeout(600_000) // processes, on a machine that may be very busy

const OPERATOR = 'operator-key-of-the-panel'
const KEYS = '/admin/v1/keys'

t.test('a revoked key is let in by no worker once that is answered', async (t) => {
  const gateway = await startGateway({
    env: { PROXY_API_KEY: OPERATOR, WORKERS: '2', WORKER_SPREAD: 'even' },
    envFile: { WORKER_STALL_TIMEOUT: 'none' } // one is stopped for as long as the test needs
  })
  const stopped = new Set<number>()
  const resume = (pid: number): void => {
    if (stopped.delete(pid)) process.kill(pid, 'SIGCONT')
  }
  t.teardown(async () => {
    for (const pid of stopped) resume(pid)
    await gateway.destroy()
  })
  const operator = PanelClient.withKey(gateway.url, OPERATOR)
  const [pid = 0] = gateway.workerPids()
  const add = async (name: string) => (await operator.post(KEYS, { name })).json
  const stop = (): void => {
    process.kill(pid, 'SIGSTOP')
    stopped.add(pid)
  }

  const anna = await add('anna')
  t.notOk('warning' in anna, 'all workers answer')
  const ben = await add('ben')

  stop()
  const revoked = await operator.post(`${KEYS}/${anna.key.id}/revoke`)
  t.equal(revoked.status, 200, revoked.text)
  t.match(revoked.json, {
    key: { state: 'revoked' },
    silent_workers: [Number],
    warning: /^Worker \d does not answer/
  })

  const before = gateway.lines.length
  let isAnswered = false
  const revoking = operator.post(`${KEYS}/${ben.key.id}/revoke`).finally(() => {
    isAnswered = true
  })
  await gateway.logged(({ msg }) => msg === 'named keys reloaded', before)
  await operator.get('/livez')
  t.notOk(isAnswered, 'it waits for the worker')
  resume(pid)
  t.notOk('warning' in (await revoking).json, 'which has confirmed it in time')
  for (let times = 0; times < 8; times++)
    t.equal((await PanelClient.withKey(gateway.url, ben.secret).get('/v1/models')).status, 401)

  const page = await PanelClient.signedIn(gateway.url, OPERATOR)
  stop()
  let isSignedOut = false
  const leaving = page.delete('/dashboard/session').finally(() => {
    isSignedOut = true
  })
  await operator.get('/livez')
  t.notOk(isSignedOut, 'signing out waits, too')
  resume(pid)
  t.equal((await leaving).status, 204)
  for (let times = 0; times < 8; times++) t.equal((await page.get('/admin/v1/state')).status, 401)
})
