import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { reload } from '../../src/config/load.ts'
import { loadProcessConfig, readEnvFile } from '../../src/config/load-process.ts'

t.test('readEnvFile()', (t) => {
  t.test('reads a file without touching the environment', async (t) => {
    const path = join(t.testdir({ '.env': 'A_TEST_NAME="b"\n# no\nexport C=d' }), '.env')
    t.same(readEnvFile(path), { A_TEST_NAME: 'b', C: 'd' })
    t.equal(process.env['A_TEST_NAME'], undefined)
  })

  t.test('takes a missing file for an empty one', async (t) => {
    t.equal(readEnvFile(join(t.testdir(), 'none')), null)
  })

  t.test('refuses one that cannot be read', async (t) => {
    t.throws(() => readEnvFile(t.testdir()), { code: 'GW_CONFIG_INVALID' })
  })
  t.end()
})

t.test('loadProcessConfig()', async (t) => {
  const path = join(t.testdir(), '.env')
  writeFileSync(path, 'SERVER_PORT=4001\nHEARTBEAT_INTERVAL=4\nDRAIN_TIMEOUT=5\n')
  chmodSync(path, 0o600)
  const changed = { SERVER_PORT: '4002', HEARTBEAT_INTERVAL: '' }
  const before = { ...process.env }
  Object.assign(process.env, changed)
  t.teardown(() => {
    for (const name of Object.keys(changed)) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  })
  const result = loadProcessConfig([], path)
  if (result.name !== 'config') throw new Error('expected a config')
  t.equal(result.config.server.port, 4002, 'the real environment wins')
  t.equal(result.config.server.heartbeatMs, 4000, 'unless it is empty')
  t.equal(result.config.cluster.drainTimeoutMs, 5000, 'the file fills in')
  t.equal(process.env['DRAIN_TIMEOUT'], before['DRAIN_TIMEOUT'], 'and nothing leaks')
})

function loadWithFile(t: Test, path: string, environment: Record<string, string>) {
  const changed: Record<string, string> = { ...environment, ENV_FILE: path }
  const before = { ...process.env }
  Object.assign(process.env, changed)
  t.teardown(() => {
    for (const name of Object.keys(changed)) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  })
  const result = loadProcessConfig([], '/nonexistent/.env')
  if (result.name !== 'config') throw new Error('expected a config')
  return result
}

t.test('loadProcessConfig() with ENV_FILE', (t) => {
  t.test(
    'lets the file win, as the environment of a container is as old as the container',
    async (t) => {
      const path = join(
        t.testdir({ file: 'HTTP_MAX_CONNECTIONS=40\nHTTP_POOL_TIMEOUT=\n' }),
        'file'
      )
      const { config } = loadWithFile(t, path, {
        HTTP_MAX_CONNECTIONS: '300',
        HTTP_POOL_TIMEOUT: '5',
        DRAIN_TIMEOUT: '7'
      })
      t.equal(config.pool.maxConnections, 40)
      t.equal(config.pool.poolTimeoutMs, null, 'an empty value in the file takes the setting back')
      t.equal(config.cluster.drainTimeoutMs, 7000, 'the environment fills in')
    }
  )

  t.test('leaves it to the environment where to listen', async (t) => {
    const path = join(t.testdir({ file: 'SERVER_HOST=10.0.0.1\nSERVER_PORT=9000\n' }), 'file')
    const { server } = loadWithFile(t, path, {
      SERVER_HOST: '127.0.0.1',
      SERVER_PORT: '8000'
    }).config
    t.match(server, { host: '127.0.0.1', port: 8000 })
  })

  t.test('takes the address from the file where the environment names none', async (t) => {
    const path = join(t.testdir({ file: 'SERVER_PORT=9000\n' }), 'file')
    t.equal(loadWithFile(t, path, {}).config.server.port, 9000)
  })

  t.test('warns of a file that cannot be read and goes by the environment', async (t) => {
    const folder = t.testdir()
    for (const path of [join(folder, 'missing'), folder]) {
      const { config, warnings } = loadWithFile(t, path, { HTTP_MAX_CONNECTIONS: '30' })
      t.equal(config.pool.maxConnections, 30)
      t.match(warnings, [/^ENV_FILE cannot be read, so only the environment applies: /])
    }
  })
  t.end()
})

t.test('loadProcessConfig() with a name in another spelling', async (t) => {
  const path = join(t.testdir({ '.env': 'HTTPS_PROXY=http://file.test:1\n' }), '.env')
  const fromFile = loadWithFile(t, path, { https_proxy: 'http://real.test:1', NO_PROXY: 'a' })
  t.equal(fromFile.config.proxy.httpsUrl, 'http://file.test:1', 'the file of ENV_FILE wins')
  t.equal(fromFile.config.proxy.exceptions, 'a')
  delete process.env['ENV_FILE']
  const result = loadProcessConfig([], path)
  if (result.name !== 'config') throw new Error('expected a config')
  t.equal(result.config.proxy.httpsUrl, 'http://real.test:1', 'the environment over a plain .env')
})

t.test('loadProcessConfig() of a gateway that has read a file before', (t) => {
  t.test('says which file it was', async (t) => {
    const path = join(t.testdir({ '.env': 'DRAIN_TIMEOUT=5\n' }), '.env')
    t.match(loadProcessConfig([], path), { name: 'config', file: path })
    t.match(loadProcessConfig([], `${path}.none`), { name: 'config', file: null })
  })
  t.test('does not take a file that is gone for an empty one', async (t) => {
    const path = join(t.testdir({ '.env': 'PROXY_API_KEY=secret\n' }), '.env')
    loadProcessConfig([], path, path)
    rmSync(path)
    t.throws(() => loadProcessConfig([], path, path), {
      code: 'GW_CONFIG_INVALID',
      message: /\.env cannot be read/
    })
  })
  t.test('nor that of ENV_FILE', async (t) => {
    const path = join(t.testdir({ file: 'PROXY_API_KEY=secret\n' }), 'file')
    const { file } = loadWithFile(t, path, {})
    t.equal(file, path)
    rmSync(path)
    t.throws(() => loadProcessConfig([], '/nonexistent/.env', file), { code: 'GW_CONFIG_INVALID' })
  })
  t.end()
})

function stateOf(folder: string): string | null {
  const loaded = loadProcessConfig([], join(folder, '.env'))
  return loaded.name === 'config' ? loaded.config.credentials.stateDir : null
}

t.test('loadProcessConfig() goes on with the state of a working folder', async (t) => {
  for (const name of ['credentials', 'responses']) {
    const folder = t.testdir({ state: { [name]: {} } })
    t.equal(stateOf(folder), join(folder, 'state'), `that has ${name}`)
  }
  const folder = t.testdir({ state: { other: {} } })
  t.not(stateOf(folder), join(folder, 'state'), 'not with any folder of that name')
  const chosen = t.testdir({ state: { credentials: {} }, '.env': 'STATE_DIR=/elsewhere\n' })
  t.equal(stateOf(chosen), '/elsewhere')
})

t.test('loadProcessConfig() with settings for Claude Code', async (t) => {
  const folder = t.testdir({ 'managed.json': '{"env":{}}' })
  const managed = join(folder, 'managed.json')
  const envFile = join(folder, '.env')
  writeFileSync(envFile, `KIRO_CREDS=none\nMANAGED_SETTINGS_FILE=${managed}\n`)
  const load = () => {
    const loaded = loadProcessConfig([], envFile)
    if (loaded.name !== 'config') throw new Error('expected a config')
    return loaded
  }
  const first = load()
  t.match(first.config.managed?.body, '"settings":{"env":{}}')
  t.match(first.warnings.join('\n'), /asks each person to approve/)
  writeFileSync(managed, '{"model":"opus"}')
  const { config } = reload(first.config, load().config)
  t.match(config.managed?.body, '"model":"opus"')
  writeFileSync(managed, '{"model":')
  t.throws(load, { code: 'GW_CONFIG_INVALID', message: /MANAGED_SETTINGS_FILE.*not a JSON object/ })
})
