import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { signInCheck } from '../../../src/cli/doctor/checks/account-check.ts'
import { type Check, Checkup, runChecks } from '../../../src/cli/doctor/checks/checkup.ts'
import { judgeSpace } from '../../../src/cli/doctor/checks/disk-check.ts'
import { filesCheck } from '../../../src/cli/doctor/checks/files-check.ts'
import { type DoctorFinding, found, worstOf } from '../../../src/cli/doctor/checks/finding.ts'
import { judgeClock } from '../../../src/cli/doctor/checks/hosts-check.ts'
import { judgeLimits, type Limits } from '../../../src/cli/doctor/checks/limits-check.ts'
import { judgeNames, judgeNode } from '../../../src/cli/doctor/checks/settings-check.ts'
import { usedHosts } from '../../../src/cli/doctor/checks/visits.ts'
import { type Environment, inspectConfig } from '../../../src/config/load.ts'

const MEBIBYTE = 1024 * 1024

function ids(findings: readonly DoctorFinding[]): readonly string[] {
  return findings.map(({ id }) => id)
}

function checkupOf(t: Test, env: Environment, signal = new AbortController().signal): Checkup {
  const checkup = new Checkup({ ...inspectConfig(env), env, signal })
  t.teardown(() => checkup[Symbol.asyncDispose]())
  return checkup
}

t.test('runChecks()', (t) => {
  const good: Check = {
    id: 'good',
    title: 'what is well',
    run: async () => [found('node-known', 'All is well.')]
  }
  const hanging: Check = {
    id: 'hanging',
    title: 'what hangs',
    timeoutMs: 50,
    run: () => new Promise(() => {})
  }
  const broken: Check = {
    id: 'broken',
    title: 'what is broken',
    run: () => Promise.reject(new TypeError('x is undefined'))
  }

  t.test('runs all at once, and tells which still run', async (t) => {
    const told: string[] = []
    const results = await runChecks([good, hanging, broken], checkupOf(t, {}), (running) =>
      told.push(running.map(({ id }) => id).join(' '))
    )
    t.same(
      results.map(({ check, findings }) => [check.id, findings[0]?.id, findings[0]?.what]),
      [
        ['good', 'node-known', 'All is well.'],
        ['hanging', 'check-late', '"what hangs" has not ended within 0.05 s.'],
        [
          'broken',
          'check-failed',
          '"what is broken" could not be checked: TypeError: x is undefined'
        ]
      ],
      'in the order of the checks'
    )
    t.equal(told[0], 'good hanging broken')
    t.equal(told.at(-1), '')
    t.equal(told.at(-2), 'hanging')
  })

  t.test('ends with its signal', async (t) => {
    const abort = new AbortController()
    const checkup = checkupOf(t, {}, abort.signal)
    const endless = { ...hanging, timeoutMs: 60_000 }
    const running = runChecks([endless], checkup, () => {})
    abort.abort(new Error('Ctrl-C'))
    await t.rejects(running, { message: 'Ctrl-C' })
  })
  t.end()
})

t.test('judgeLimits()', async (t) => {
  const usual: Limits = {
    cpus: 2,
    memoryBytes: 512 * MEBIBYTE,
    openFiles: 65_536,
    machineBytes: 8192 * MEBIBYTE
  }
  const well = ['memory-planned', 'cpus-enough', 'files-enough']
  const cases: readonly (readonly [
    string,
    Partial<Limits>,
    Environment,
    number,
    readonly string[]
  ])[] = [
    ['the container', {}, {}, 2, well],
    ['no limits', { cpus: null, memoryBytes: null, openFiles: null }, {}, 8, well],
    ['128 MB', { memoryBytes: 128 * MEBIBYTE }, {}, 2, ['memory-too-small', 'cpus-enough']],
    ['256 MB', { memoryBytes: 256 * MEBIBYTE }, {}, 2, ['memory-tight', ...well.slice(1)]],
    ['too much planned', {}, { MEMORY_LIMIT: '1G' }, 2, ['memory-beyond', ...well.slice(1)]],
    [
      'a small machine',
      { memoryBytes: null, machineBytes: 400 * MEBIBYTE },
      {},
      2,
      ['memory-beyond', ...well.slice(1)]
    ],
    ['half a CPU', { cpus: 0.5 }, {}, 0.5, ['memory-planned', 'cpus-few', 'files-enough']],
    [
      '4 workers, 1 CPU',
      { cpus: 1, memoryBytes: 2048 * MEBIBYTE },
      { WORKERS: '4' },
      1,
      ['memory-planned', 'cpus-few', 'files-enough']
    ],
    ['450 files', { openFiles: 450 }, {}, 2, [...well.slice(0, 2), 'files-few']],
    ['300 files', { openFiles: 300 }, {}, 2, [...well.slice(0, 2), 'files-too-few']],
    ['few files, few clients', { openFiles: 450 }, { MAX_CLIENT_CONNECTIONS: '100' }, 2, well]
  ]
  for (const [name, changes, env, cpus, expected] of cases) {
    const { config } = inspectConfig(env)
    t.same(ids(judgeLimits({ ...usual, ...changes }, config, cpus)), expected, name)
  }
})

t.test('judgeClock()', async (t) => {
  const cases: readonly (readonly [readonly number[], string, RegExp])[] = [
    [[], 'clock-unknown', /No host/],
    [[200, -900], 'clock-right', /2 of the hosts/],
    [[45_000], 'clock-off', /45 s ahead of that of the host/],
    [[-360_000, -361_000], 'clock-wrong', /6 minutes behind those of 2 hosts/],
    [[0, 100, 86_400_000], 'clock-right', /within 1 s/],
    [[400 * 86_400_000], 'clock-wrong', /400 days ahead/]
  ]
  for (const [ahead, id, what] of cases) t.match(judgeClock(ahead), { id, what })
})

const space = (freeMb: number, freeFiles: number | null = 1000) => ({
  freeBytes: freeMb * MEBIBYTE,
  freeFiles
})

t.test('judgeSpace()', async (t) => {
  t.same(ids(judgeSpace(space(1000), 64 * MEBIBYTE)), [])
  t.same(ids(judgeSpace(space(100), 64 * MEBIBYTE)), ['disk-low'])
  t.same(ids(judgeSpace(space(100), 0)), [])
  t.same(ids(judgeSpace(space(5), 0)), ['disk-full'])
  t.same(ids(judgeSpace(space(1000, 0), 0)), ['disk-full'], 'no inodes')
  t.same(ids(judgeSpace(space(1000, null), 0)), [], 'a file system without inodes')
})

t.test('judgeNames()', async (t) => {
  t.same(judgeNames(['SERVER_PORT', 'https_proxy', 'COMPOSE_PROJECT_NAME', 'TZ'], []), [])
  t.match(judgeNames(['FOO', 'BAR'], []), [
    { id: 'settings-unknown', what: 'Unknown settings: FOO, BAR.' }
  ])
  t.same(
    judgeNames(['HTTP_MAX_CONECTIONS'], ['HTTP_MAX_CONECTIONS is not a setting']),
    [],
    'said already'
  )
  t.match(judgeNames(['NODE_OPTIONS', 'NODE_ENV'], []), [
    { id: 'settings-too-late', what: 'The settings file contains NODE_OPTIONS.' }
  ])
})

t.test('judgeNode()', async (t) => {
  t.same(ids(judgeNode('24.12.0')), ['node-known'])
  t.same(ids(judgeNode('99.0.0')), ['node-untried'])
})

t.test('worstOf()', async (t) => {
  t.equal(worstOf([]), 'ok')
  t.equal(worstOf([{ level: 'ok' }, { level: 'warning' }]), 'warning')
  t.equal(worstOf([{ level: 'problem' }, { level: 'warning' }]), 'problem')
})

t.test('usedHosts()', async (t) => {
  const hostsOf = async (env: Environment) => {
    const hosts = await usedHosts(checkupOf(t, { STATE_DIR: t.testdirName, ...env }))
    return hosts.map(({ url, isFallback }) => `${url.host}${isFallback ? ' second' : ''}`)
  }
  t.same(await hostsOf({ KIRO_API_KEY: 'ksk_1', KIRO_API_REGION: 'eu-central-1' }), [
    'runtime.eu-central-1.kiro.dev',
    'q.eu-central-1.amazonaws.com second',
    'management.eu-central-1.kiro.dev'
  ])
  t.same(await hostsOf({ REFRESH_TOKEN: 'x'.repeat(120) }), [
    'runtime.us-east-1.kiro.dev',
    'q.us-east-1.amazonaws.com second',
    'management.us-east-1.kiro.dev',
    'prod.us-east-1.auth.desktop.kiro.dev'
  ])
  const own = { KIRO_API_URL: 'http://kiro.test:1/a', KIRO_AUTH_URL: 'http://kiro.test:1/b' }
  t.same(await hostsOf({ REFRESH_TOKEN: 'x'.repeat(120), ...own }), ['kiro.test:1'], 'each once')
})

t.test('sign-in', async (t) => {
  const stateDir = join(t.testdir({}), 'state')
  const signIn = async (env: Environment, options = { stateDir }) => {
    const base = { STATE_DIR: options.stateDir, KIRO_CREDS: 'none', ENV_FILE: 'none' }
    return signInCheck.run(checkupOf(t, { ...base, ...env }))
  }

  t.test('that there is none is as bad as what comes of it', async (t) => {
    t.match(await signIn({}), [{ id: 'credentials-none', level: 'warning' }])
    t.same(await signIn({ NODE_ENV: 'production' }), [], 'the settings are wrong already')
    t.match(await signIn({ LOGIN_ON_START: 'true' }), [
      { id: 'credentials-awaited', level: 'warning', change: /log/ }
    ])
    t.match(await signIn({ KIRO_KEY_PASSTHROUGH: 'true', NODE_ENV: 'production' }), [
      { id: 'credentials-of-clients', level: 'ok' }
    ])
    t.notOk(existsSync(stateDir), 'who only looks makes nothing')
  })

  t.test("an identity provider's is renewed where it may be", async (t) => {
    const file = (tokenEndpoint: string): string => {
      const text = JSON.stringify({
        accessToken: 'a1',
        refreshToken: 'r1',
        expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
        authMethod: 'external_idp',
        tokenEndpoint,
        clientId: 'c1',
        region: 'us-east-1'
      })
      return join(t.testdir({ 'token.json': text }), 'token.json')
    }
    const hostsOf = async (env: Environment) => {
      const hosts = await usedHosts(checkupOf(t, { STATE_DIR: stateDir, ...env }))
      return hosts.filter(({ role }) => role === 'sign-in').map(({ url }) => url.host)
    }
    const known = { KIRO_CREDS_FILE: file('https://login.microsoftonline.com/t/oauth2/v2.0/token') }
    t.same(ids(await signIn(known)), ['credentials-usable'])
    t.same(await hostsOf(known), ['login.microsoftonline.com'])
    const other = { KIRO_CREDS_FILE: file('https://idp.test/token') }
    t.match(await signIn(other), [
      { id: 'credentials-usable' },
      { id: 'credentials-not-renewable', what: /idp\.test is not known.*KIRO_IDP_HOSTS/ }
    ])
    t.same(await hostsOf(other), [])
    t.same(await hostsOf({ ...other, KIRO_IDP_HOSTS: 'idp.test' }), ['idp.test'])
    t.same(await hostsOf({ ...other, KIRO_IDP_URL: 'http://127.0.0.1:1/token' }), ['127.0.0.1:1'])
  })
})

t.test('files', { skip: process.getuid === undefined }, async (t) => {
  const look = async (stateDir: string, env: Environment = {}) => {
    const findings = await filesCheck.run(
      checkupOf(t, { STATE_DIR: stateDir, ENV_FILE: 'none', ...env })
    )
    return ids(findings)
  }
  const folder = t.testdir({ open: {}, closed: {}, linked: {}, foreign: {}, 'creds.json': '{}' })
  const place = (...names: readonly string[]): string => join(folder, ...names)

  t.test('that others can read matter where others can get at them', async (t) => {
    for (const name of ['open', 'closed']) {
      mkdirSync(place(name, 'state'), { mode: name === 'open' ? 0o755 : 0o700 })
      writeFileSync(place(name, 'state', 'token.json'), '{}', { mode: 0o644 })
    }
    t.same(await look(place('open', 'state')), ['state-open'])
    t.same(await look(place('closed', 'state')), ['state-private'])
  })

  t.test('that others can write always do', async (t) => {
    mkdirSync(place('foreign', 'state'), { mode: 0o700 })
    mkdirSync(place('foreign', 'state', 'credentials'))
    const file = place('foreign', 'state', 'credentials', 'token.json')
    writeFileSync(file, '{}')
    chmodSync(file, 0o666)
    t.same(await look(place('foreign', 'state')), ['state-foreign'])
    chmodSync(file, 0o660)
    t.same(await look(place('foreign', 'state')), ['state-private'], 'our own group is ours')
  })

  t.test('that are links are never ours', async (t) => {
    symlinkSync('/etc/hostname', place('linked', 'token.json'))
    t.same(await look(place('linked')), ['state-link'])
  })

  t.test('that are not there yet are made later', async (t) => {
    t.same(await look(place('none', 'state')), ['state-absent'])
  })

  t.test('of credentials are for their owner alone', async (t) => {
    chmodSync(place('creds.json'), 0o644)
    const findings = await look(place('none'), { KIRO_CREDS_FILE: place('creds.json') })
    t.ok(findings.includes('credentials-file-open'))
  })

  t.test('of debugging have a folder', async (t) => {
    const env = { DEBUG_MODE: 'all', DEBUG_DIR: '/proc/none/debug' }
    t.ok((await look(place('none'), env)).includes('debug-unwritable'))
  })
})
