import t from 'tap'
import { type Environment, loadConfig, usualStateDir } from '../../src/config/load.ts'
import { listSettings } from '../../src/config/setting-text.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { version } from '../../src/shared/version.ts'

function load(env: Environment, argv: readonly string[] = []) {
  const result = loadConfig(env, argv)
  if (result.name !== 'config') throw new Error('expected a config')
  return result
}

function print(env: Environment, argv: readonly string[]): string {
  const result = loadConfig(env, argv)
  if (result.name !== 'print') throw new Error('expected a text')
  return result.text
}

function problemsOf(env: Environment, argv: readonly string[] = []): readonly string[] {
  try {
    loadConfig(env, argv)
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'GW_CONFIG_INVALID') throw error
    return error.message.split('\n').slice(1)
  }
  return []
}

t.test('loadConfig()', (t) => {
  t.test('has the documented defaults in an empty environment', async (t) => {
    const { config, warnings } = load({})
    t.match(config.server, { host: '127.0.0.1', port: 8000, apiKeys: [] })
    t.match(config.server, { maxBodyBytes: 33_554_432, bodyTimeoutMs: 60_000, heartbeatMs: 10_000 })
    t.same(config.cluster, {
      workers: null,
      spread: 'packed',
      drainTimeoutMs: 30_000,
      drainDelayMs: 0,
      stallTimeoutMs: 10_000
    })
    t.same(config.pool, {
      maxConnections: 300,
      maxKeepalive: 150,
      minIdle: 2,
      keepaliveExpiryMs: 60_000,
      poolTimeoutMs: null,
      maxWaiting: 1000,
      maxRequestsPerMinute: null
    })
    t.match(config.upstream, { connectTimeoutMs: 30_000, firstTokenTimeoutMs: 120_000 })
    t.equal(config.upstream.userAgent, `kiro-gateway/${version}`)
    t.equal(config.observe.level, 'info')
    t.equal(config.isProduction, false)
    t.same(warnings, [])
  })

  t.test('reads seconds with fractions as milliseconds', async (t) => {
    for (const [text, ms] of [
      ['60.0', 60_000],
      ['0.5', 500],
      ['.25', 250],
      ['1.', 1000],
      ['0', 0],
      ['86400', 86_400_000]
    ] as const) {
      t.equal(load({ HTTP_POOL_TIMEOUT: text }).config.pool.poolTimeoutMs, ms, text)
    }
  })

  t.test('takes none in any case where there may be no limit', async (t) => {
    const { config } = load({
      HTTP_MAX_CONNECTIONS: 'none',
      HTTP_MAX_KEEPALIVE_CONNECTIONS: 'NONE',
      HTTP_KEEPALIVE_EXPIRY: 'None',
      HTTP_POOL_TIMEOUT: 'none'
    })
    t.match(config.pool, { maxConnections: null, maxKeepalive: null })
    t.match(config.pool, { keepaliveExpiryMs: null, poolTimeoutMs: null })
    t.equal(problemsOf({ SERVER_PORT: 'none' }).length, 1)
  })

  t.test('reads sizes with units', async (t) => {
    for (const [text, bytes] of [
      ['2048', 2048],
      ['64K', 65_536],
      ['64kb', 65_536],
      ['1 MiB', 1_048_576],
      ['1G', 1_073_741_824]
    ] as const) {
      t.equal(load({ MAX_BODY_BYTES: text }).config.server.maxBodyBytes, bytes, text)
    }
    for (const text of ['1T', '1.5M', '-1', 'M', '0x400', '1023', '1025M']) {
      t.equal(problemsOf({ MAX_BODY_BYTES: text }).length, 1, text)
    }
  })

  t.test('reads every spelling of true and false', async (t) => {
    for (const text of ['true', '1', 'yes', 'ON', 'enabled']) {
      t.equal(load({ FAKE_REASONING: text }).config.reasoning.isEnabled, true, text)
    }
    for (const text of ['false', '0', 'no', 'Off', 'disabled']) {
      t.equal(load({ FAKE_REASONING: text }).config.reasoning.isEnabled, false, text)
    }
    t.equal(problemsOf({ FAKE_REASONING: 'maybe' }).length, 1)
  })

  t.test('reads log levels in capitals and by the names of other loggers', async (t) => {
    t.equal(load({ LOG_LEVEL: 'DEBUG' }).config.observe.level, 'debug')
    t.equal(load({ LOG_LEVEL: 'WARNING' }).config.observe.level, 'warn')
    t.equal(load({ LOG_LEVEL: 'CRITICAL' }).config.observe.level, 'fatal')
    t.equal(problemsOf({ LOG_LEVEL: 'constructor' }).length, 1)
  })

  t.test('reads lists and pairs', async (t) => {
    t.same(load({ PROXY_API_KEY: 'one, two' }).config.server.apiKeys, ['one', 'two'])
    t.same(load({ MODEL_ALIASES: 'a=b, c = d=e' }).config.models.aliases, { a: 'b', c: 'd=e' })
    for (const text of ['a', '=b', 'a=', 'a=b,', 'a=b,a=c']) {
      t.equal(problemsOf({ MODEL_ALIASES: text }).length, 1, text)
    }
    for (const text of ['a,', ',', 'a b', 'schlüssel']) {
      t.equal(problemsOf({ PROXY_API_KEY: text }).length, 1, text)
    }
  })

  t.test('takes an empty value as not set', async (t) => {
    t.same(load({ SERVER_PORT: '', PROXY_API_KEY: ' ', KIRO_API_KEY: '' }).config, load({}).config)
  })

  t.test('accepts each number at its bounds and refuses it beyond', async (t) => {
    for (const { setting } of listSettings()) {
      if (setting.minimum === undefined || setting.maximum === undefined) continue
      const scale = setting.kind === 'seconds' ? 1000 : 1
      const { minimum, maximum } = setting
      t.same(problemsOf({ [setting.env]: String(minimum / scale) }), [], `${setting.env} at least`)
      t.same(problemsOf({ [setting.env]: String(maximum / scale) }), [], `${setting.env} at most`)
      for (const beyond of [(minimum - 1) / scale, (maximum + 1) / scale]) {
        t.match(problemsOf({ [setting.env]: String(beyond) }), [new RegExp(`^- ${setting.env} is`)])
      }
    }
  })

  t.test('checks the shape of hosts, URLs, regions and ARNs', async (t) => {
    const arn = 'arn:aws:codewhisperer:us-east-1:123456789012:profile/AbC-1'
    const right: readonly Environment[] = [
      { SERVER_HOST: '::1' },
      { SERVER_HOST: 'localhost' },
      { KIRO_API_URL: 'http://127.0.0.1:8123' },
      { KIRO_OIDC_URL: 'https://[::1]:1/base/' },
      { KIRO_API_REGION: 'us-gov-west-1' },
      { KIRO_API_REGION: 'us-iso-east-1' },
      { KIRO_IDP_HOSTS: 'corp.okta.com,.example.org' },
      { PROFILE_ARN: arn.replace('arn:aws:', 'arn:aws-us-gov:') },
      { PROFILE_ARN: arn },
      { ALERT_WEBHOOK_URL: 'https://hooks.example/T00/B00?token=x' },
      { ALERT_WEBHOOK_URL: 'https://team.example/webhookb2/1-2@3-4/IncomingWebhook/5' }
    ]
    const wrong: readonly Environment[] = [
      { SERVER_HOST: 'a b' },
      { SERVER_HOST: '[::1]' },
      { KIRO_API_URL: 'ftp://host' },
      { KIRO_API_URL: 'host:80' },
      { KIRO_API_URL: 'http://host:99999' },
      { KIRO_API_URL: 'http://host/?a=b' },
      { KIRO_API_REGION: 'virginia' },
      { KIRO_API_REGION: 'us-east-01' },
      { KIRO_IDP_HOSTS: 'https://corp.okta.com' },
      { PROFILE_ARN: arn.replace('12345', '') },
      { KIRO_USER_AGENT: 'a\nb' },
      { ALERT_WEBHOOK_URL: 'hooks.example' },
      { ALERT_WEBHOOK_URL: 'http://hooks.example:99999/' },
      { ALERT_WEBHOOK_URL: 'http://[::1/' },
      { ALERT_WEBHOOK_URL: 'https://me:secret@hooks.example/' },
      { ALERT_WEBHOOK_URL: 'https://hooks.example/#a' }
    ]
    for (const env of right) t.same(problemsOf(env), [], JSON.stringify(env))
    for (const env of wrong) t.equal(problemsOf(env).length, 1, JSON.stringify(env))
    t.equal(load({ KIRO_API_URL: 'http://h/a//' }).config.upstream.apiUrl, 'http://h/a')
    const webhook = 'http://h/a/' // not the beginning of others
    t.equal(load({ ALERT_WEBHOOK_URL: webhook }).config.alerts.webhookUrl, webhook)
  })

  t.test('finds the home folder behind ~', async (t) => {
    const env = { HOME: '/home/me', KIRO_CREDS_FILE: '~/a.json', STATE_DIR: '~' }
    const { credentials } = load(env).config
    t.equal(credentials.credsFile, '/home/me/a.json')
    t.equal(credentials.stateDir, '/home/me')
    t.equal(load({ HOME: '/h', STATE_DIR: '~other/a' }).config.credentials.stateDir, '~other/a')
  })

  t.test("keeps its state in the system's usual place", async (t) => {
    t.equal(load({ HOME: '/h' }).config.credentials.stateDir, usualStateDir({ HOME: '/h' }))
    const rows = [
      ['linux', {}, '/h/.local/state/kiro-gateway'],
      ['linux', { XDG_STATE_HOME: '/s' }, '/s/kiro-gateway'],
      ['linux', { XDG_STATE_HOME: 'relative' }, '/h/.local/state/kiro-gateway'],
      ['darwin', {}, '/h/Library/Application Support/kiro-gateway'],
      ['win32', { LOCALAPPDATA: '/c/local' }, '/c/local/kiro-gateway'],
      ['win32', {}, '/h/AppData/Local/kiro-gateway']
    ] as const
    for (const [platform, env, folder] of rows)
      t.equal(usualStateDir({ HOME: '/h', ...env }, platform), folder)
  })

  t.test(
    'lists all problems at once, each with name, what was given and what is allowed',
    async (t) => {
      const problems = problemsOf(
        {
          SERVER_HOST: '0.0.0.0',
          SERVER_PORT: '70000',
          HTTP_POOL_TIMEOUT: 'soon',
          LOG_LEVEL: 'loud'
        },
        ['--nonsense', 'stray', '--workers', '0']
      )
      t.same(problems, [
        '- --nonsense is not an option.',
        '- "stray" is not an option.',
        '- SERVER_PORT is "70000". Allowed: a whole number from 0 to 65535.',
        '- --workers is "0". Allowed: a whole number from 1 to 64, or auto.',
        '- HTTP_POOL_TIMEOUT is "soon". Allowed: seconds from 0 to 86400, fractions included, or none.',
        '- LOG_LEVEL is "loud". Allowed: one of fatal, error, warn, info, debug, trace, silent.',
        '- SERVER_HOST is "0.0.0.0", so anyone on the network could use your subscription. Set PROXY_API_KEY.'
      ])
    }
  )

  t.test('never shows a secret, nor a password in a URL, nor a novel', async (t) => {
    const problems = problemsOf({
      KIRO_API_KEY: 'hunter2',
      PROXY_API_KEY: 'hunter2,',
      REFRESH_TOKEN: 'hunter2\u0001',
      KIRO_API_URL: 'http://me:hunter2@host',
      LOG_LEVEL: 'x'.repeat(5000)
    })
    t.equal(problems.length, 5)
    t.notMatch(problems.join('\n'), 'hunter2')
    t.ok(problems.every((problem) => problem.length < 250))
  })

  t.test('says of a proxy how it begins, and nothing that may be a password', async (t) => {
    const problems = problemsOf({
      VPN_PROXY_URL: 'proxy.test:3128:me:hunter2',
      HTTPS_PROXY: 'socks4://me:hunter2@proxy.test'
    })
    t.match(problems, [
      /VPN_PROXY_URL is a secret of 26 characters. Allowed: http:\/\/, https:\/\/ or socks5:\/\//,
      /HTTPS_PROXY is a secret of 30 characters that begins with socks4:\/\/. Allowed: http/
    ])
    t.notMatch(problems.join(), 'hunter2')
  })

  t.test('reads proxies under the names that other programs use', async (t) => {
    t.same(load({}).config.proxy, { url: null, httpsUrl: null, exceptions: null })
    t.same(load({ https_proxy: 'p.test:1', no_proxy: 'a' }).config.proxy, {
      url: null,
      httpsUrl: 'http://p.test:1',
      exceptions: 'a'
    })
    const both = { HTTPS_PROXY: 'http://upper.test:1', https_proxy: 'http://lower.test:1' }
    t.equal(load(both).config.proxy.httpsUrl, 'http://lower.test:1')
    const empty = { HTTPS_PROXY: 'http://upper.test:1', https_proxy: '' }
    t.equal(load(empty).config.proxy.httpsUrl, 'http://upper.test:1')
    t.equal(load({ vpn_proxy_url: 'p.test:1' }).config.proxy.url, null, 'not our own')
    t.match(problemsOf({ https_proxy: 'x' }), [/^- HTTPS_PROXY is a secret of 1 characters/])
  })

  t.test('is deeply frozen and survives JSON', async (t) => {
    const { config } = load({ PROXY_API_KEY: 'a', MODEL_ALIASES: 'a=b' })
    t.ok(Object.isFrozen(config) && Object.isFrozen(config.server.apiKeys))
    t.ok(Object.isFrozen(config.models.aliases))
    t.same(JSON.parse(JSON.stringify(config)), config)
    t.not(load({}).config.server.apiKeys, load({}).config.server.apiKeys, 'shares nothing')
  })
  t.end()
})

t.test('the command line', (t) => {
  t.test('wins over the environment', async (t) => {
    const env = { SERVER_HOST: '::1', SERVER_PORT: '1', WORKERS: '4' }
    const { config } = load(env, ['--host=localhost', '--port', '0', '--workers', 'auto'])
    t.match(config.server, { host: 'localhost', port: 0 })
    t.equal(config.cluster.workers, null)
    t.equal(load({ SERVER_PORT: 'wrong' }, ['--port', '7']).config.server.port, 7)
  })

  t.test('needs values', async (t) => {
    t.same(problemsOf({}, ['--port']), ['- --port needs a value.'])
    t.same(problemsOf({}, ['--port=']), ['- --port needs a value.'])
    t.same(problemsOf({}, ['--constructor']), ['- --constructor is not an option.'])
    t.same(problemsOf({}, ['--prot=80']), ['- --prot is not an option. Was --port meant?'])
  })

  t.test('prints version and help even if the configuration is wrong', async (t) => {
    t.equal(print({ SERVER_PORT: 'x' }, ['--version']), `${version}\n`)
    const help = print({ SERVER_PORT: 'x' }, ['--help', '--bad'])
    for (const { setting } of listSettings()) t.match(help, `\n  ${setting.env}\n`)
    for (const option of ['--host', '--port', '--workers']) t.match(help, option)
  })
  t.end()
})

t.test('settings that depend on each other', (t) => {
  t.test('corrects more idle connections than connections, and says so', async (t) => {
    const { config, warnings } = load({ HTTP_MAX_CONNECTIONS: '100' })
    t.equal(config.pool.maxKeepalive, 100)
    t.same(warnings.length, 1)
    t.match(warnings[0], 'HTTP_MAX_KEEPALIVE_CONNECTIONS is 150')
    const same = load({ HTTP_MAX_CONNECTIONS: '150' })
    t.same([same.config.pool.maxKeepalive, same.warnings], [150, []])
  })

  t.test('lets all connections idle with none', async (t) => {
    const { config, warnings } = load({ HTTP_MAX_KEEPALIVE_CONNECTIONS: 'none' })
    t.same([config.pool.maxKeepalive, warnings], [300, []])
  })

  t.test('starts no more workers than there are connections, and says so', async (t) => {
    const env = { HTTP_MAX_CONNECTIONS: '2', HTTP_MAX_KEEPALIVE_CONNECTIONS: '0', WORKERS: '3' }
    const { config, warnings } = load(env)
    t.equal(config.cluster.workers, 2)
    t.match(warnings, [/^WORKERS is 3/])
    t.same(load({ ...env, WORKERS: '2' }).warnings, [])
  })

  t.test('refuses to serve the network without a key', async (t) => {
    for (const SERVER_HOST of ['0.0.0.0', '::', '192.168.1.2', 'example.org']) {
      t.match(problemsOf({ SERVER_HOST }), [/Set PROXY_API_KEY/], SERVER_HOST)
      t.same(problemsOf({ SERVER_HOST, PROXY_API_KEY: 'k' }), [])
    }
    for (const SERVER_HOST of ['127.0.0.1', '127.8.8.8', '::1', 'LOCALHOST']) {
      t.same(problemsOf({ SERVER_HOST }), [], SERVER_HOST)
    }
  })

  t.test('says which keys could be guessed, and never what they are', async (t) => {
    const long = 'sixteen-letters-'
    t.same(load({ PROXY_API_KEY: `${long},${long}x` }).warnings, [])
    t.match(load({ PROXY_API_KEY: 'fifteen-letters' }).warnings, [
      /^The key in PROXY_API_KEY has fewer than 16 characters/
    ])
    const { warnings } = load({ PROXY_API_KEY: `hunter2,${long},fifteen-letters` })
    t.match(warnings, [/^Of the keys, number 1, 3 in PROXY_API_KEY/])
    t.notMatch(warnings.join(''), /hunter2|letters/)
  })

  t.test('does not ask for a key that was given wrong', async (t) => {
    t.equal(problemsOf({ SERVER_HOST: '0.0.0.0', PROXY_API_KEY: 'a b' }).length, 1)
    t.equal(problemsOf({ NODE_ENV: 'production', KIRO_API_KEY: 'a' }).length, 1)
  })

  t.test('needs credentials in production', async (t) => {
    t.match(problemsOf({ NODE_ENV: 'production', KIRO_CREDS: 'none' }), [/no credentials/])
    t.same(problemsOf({ NODE_ENV: 'production' }), [], 'they may be found')
    for (const name of ['KIRO_CREDS_FILE', 'KIRO_CLI_DB_FILE', 'REFRESH_TOKEN']) {
      t.same(problemsOf({ NODE_ENV: 'production', KIRO_CREDS: 'none', [name]: 'x' }), [])
    }
    t.equal(load({ NODE_ENV: 'production', KIRO_API_KEY: 'ksk_a' }).config.isProduction, true)
  })

  t.test('needs no key of its own where clients bring theirs', async (t) => {
    const passed = { KIRO_KEY_PASSTHROUGH: 'true', KIRO_CREDS: 'none' }
    t.same(problemsOf({ ...passed, SERVER_HOST: '0.0.0.0', NODE_ENV: 'production' }), [])
  })

  t.test('says which of several credentials wins', async (t) => {
    const both = load({ KIRO_CREDS_FILE: 'f', REFRESH_TOKEN: 't' }).warnings
    t.match(both, [/KIRO_CREDS_FILE is used, REFRESH_TOKEN is ignored/])
    const all = load({ KIRO_CREDS_FILE: 'f', REFRESH_TOKEN: 't', KIRO_API_KEY: 'ksk_a' }).warnings
    t.match(all, [/KIRO_API_KEY is used, KIRO_CREDS_FILE and REFRESH_TOKEN are ignored/])
  })

  t.test('asks about names that look like misspelt settings', async (t) => {
    t.match(load({ HTTP_MAX_CONECTIONS: '1' }).warnings, [/Did you mean HTTP_MAX_CONNECTIONS/])
    t.match(load({ KIRO_REGOIN: 'x' }).warnings, [/Did you mean KIRO_REGION/])
    t.same(
      load({ KIRO_CLI_DB_FILE: 'x', HTTP_PROXY: 'y', WORKER: '1', KIRO_REGOI: '' }).warnings,
      []
    )
  })
  t.end()
})
