import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { allHeard } from '../helper/all-heard.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { GatewayProcess, startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const simulator = new Simulator()
const { url } = await simulator.start()
t.teardown(() => simulator.close())

t.test('SIGHUP', async (t) => {
  t.test('never takes the client keys away because .env is gone', async (t) => {
    const gateway = await startGateway({ upstreamUrl: url })
    t.teardown(() => gateway.destroy())
    const envFile = `/proc/${gateway.child.pid}/cwd/.env`
    writeFileSync(envFile, 'PROXY_API_KEY=secret\n')
    gateway.child.kill('SIGHUP')
    await gateway.logged((line) => line['msg'] === 'settings reloaded')
    rmSync(envFile)
    gateway.child.kill('SIGHUP')
    const refused = await gateway.logged(
      (line) => line['msg'] === 'settings cannot be reloaded, nothing was changed'
    )
    t.match(JSON.stringify(refused), '.env cannot be read')
    await allHeard(gateway, 'secret')
    t.equal((await fetch(`${gateway.url}/v1/models`)).status, 401)
  })

  t.test('of the whole process group leaves the workers alone', async (t) => {
    const env = { WORKERS: '1', WORKER_STALL_TIMEOUT: 'none' } // a busy machine may leave one without a core
    const gateway = await startGateway({ upstreamUrl: url, env })
    t.teardown(() => gateway.destroy())
    const pids = gateway.workerPids()
    for (const pid of pids) process.kill(pid, 'SIGHUP')
    gateway.child.kill('SIGHUP')
    await gateway.logged((line) => line['msg'] === 'settings reloaded')
    t.equal(await gateway.stop(), 0)
    t.notOk(gateway.lines.some((line) => line['msg'] === 'worker died'))
    t.ok(pids.length > 0)
  })
})

for (const [signal, message] of [
  ['SIGHUP', 'settings reloaded'],
  ['SIGUSR2', 'rolling restart complete']
] as const) {
  t.test(`${signal} that comes while the gateway starts is acted on when it has`, async (t) => {
    // Sent by the process itself while it waits for the simulator: its entry file has run, which sets this variable.
    const early = `
      const timer = setInterval(() => {
        if (process.env.NODE_UNIQUE_ID || !process.argv[1]?.endsWith('start.js')) clearInterval(timer)
        else if (process.env.NODE_COMPILE_CACHE) process.kill(process.pid, '${signal}', clearInterval(timer))
      })
      timer.unref()`
    const preload = `data:text/javascript,${encodeURIComponent(early)}`
    const env = { WORKERS: '1', NODE_OPTIONS: `--import=${preload}`, NODE_COMPILE_CACHE: '' }
    const gateway = new GatewayProcess({ env })
    t.teardown(() => gateway.destroy())
    const acted = gateway.logged((line) => line['msg'] === message)
    t.ok(await Promise.race([acted, gateway.exited]), 'and has not ended it')
    t.equal(await gateway.stop(), 0)
  })
}

t.test('npm start that is killed leaves no gateway behind on its port', async (t) => {
  const root = join(import.meta.dirname, '../..')
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const shell = spawn('sh', ['-c', scripts.start], {
    cwd: root, // where npm runs it
    env: {
      PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
      HOME: t.testdirName,
      STATE_DIR: join(t.testdirName, 'state'),
      ENV_FILE: join(t.testdir({ '.env': 'SERVER_PORT=0\n' }), '.env')
    },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => shell.kill('SIGKILL'))
  const exited = once(shell, 'exit')
  for await (const line of createInterface({ input: shell.stdout })) {
    if (line.includes('"gateway ready"')) shell.kill('SIGTERM')
  }
  t.same(await exited, [0, null], 'and ends in peace')
})

t.test('a worker that is stuck does not keep the gateway from ending', async (t) => {
  const gateway = await startGateway({
    upstreamUrl: url,
    env: { DRAIN_TIMEOUT: '0', WORKERS: '2' }
  })
  t.teardown(() => gateway.destroy())
  const [stuck = 0] = gateway.workerPids()
  process.kill(stuck, 'SIGSTOP')
  t.equal(await gateway.stop(), 0)
  const line = gateway.lines.find((one) => String(one['msg']).startsWith('workers did not exit'))
  t.match(line, { level: 'error', workers: [{ workerPid: stuck }] })
})

t.test('a gateway whose simulator is gone writes what was used, ends, and says so', async (t) => {
  const gateway = await startGateway({ env: { WORKERS: '1' } })
  t.teardown(() => gateway.destroy())
  for (let i = 0; i < 3; i++) t.ok(isComplete(await startChat(gateway.url, 'Say hello.').answer))
  const { pid } = gateway.child
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  const simulatorPid = children.find((child) =>
    readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('/simulator/main.')
  )
  process.kill(Number(simulatorPid), 'SIGKILL')
  t.equal(await gateway.exited, 1)
  t.match(gateway.stderr, 'exited (SIGKILL), so nothing answers. Start the gateway again.')
  t.ok(gateway.lines.some((one) => one['msg'] === 'the simulator is not running: exiting'))
  using book = new DatabaseSync(join(gateway.folder, '.local/state/kiro-gateway/usage.db'))
  t.match(book.prepare('SELECT count(*) AS rows FROM requests').get(), { rows: 3 })
})
