import { readdirSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const SECRETS = {
  REFRESH_TOKEN: 'a-refresh-token',
  PROXY_API_KEY: 'a-client-key-of-20-characters',
  KIRO_API_KEY: 'ksk_an-api-key',
  VPN_PROXY_URL: 'http://user:a-proxy-password@127.0.0.1:9',
  AWS_SECRET_ACCESS_KEY: 'a-secret-of-somebody-else',
  NODE_AUTH_TOKEN: 'a-token-for-a-registry'
}
const NEEDED = { TZ: 'Europe/Berlin', NODE_EXTRA_CA_CERTS: '/dev/null', LC_ALL: 'C.UTF-8' }

/** Environments of the processes that a process has started, as whoever may read `/proc` sees them. */
function environmentsOfChildren(pid: number | undefined): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
    .map((child) => readFileSync(`/proc/${child}/environ`, 'utf8'))
}

function parentOf(pid: string): number | null {
  try {
    return Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    return null // it has ended meanwhile
  }
}

async function check(t: Test, env: Record<string, string>, processes: number): Promise<void> {
  const gateway = await startGateway({ env: { ...env, ...NEEDED, WORKERS: '2' } })
  t.teardown(() => gateway.destroy())
  const environments = environmentsOfChildren(gateway.child.pid)
  t.equal(environments.length, processes)
  for (const environment of environments) {
    for (const [name, secret] of Object.entries(SECRETS)) {
      t.notOk(environment.includes(secret), name)
      t.notOk(environment.includes(`${name}=`), name)
    }
    for (const [name, value] of Object.entries(NEEDED))
      t.ok(environment.includes(`${name}=${value}\0`), name)
  }
}

t.test('no secret is in the environment', { skip: process.platform !== 'linux' }, async (t) => {
  await t.test('of a worker', (t) =>
    check(t, { ...SECRETS, KIRO_API_URL: 'http://127.0.0.1:9' }, 2)
  )
  await t.test('of the simulator', (t) =>
    check(t, { PROXY_API_KEY: SECRETS.PROXY_API_KEY, NODE_AUTH_TOKEN: 'x' }, 3)
  )
})

t.test('memory of a worker is cleared', { skip: process.platform !== 'linux' }, async (t) => {
  const gateway = await startGateway({ env: { WORKERS: '2' } })
  t.teardown(() => gateway.destroy())
  const pids = gateway.workerPids()
  t.equal(pids.length, 2)
  for (const pid of pids)
    t.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '\0--zero-fill-buffers\0')
})
