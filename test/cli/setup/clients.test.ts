import t from 'tap'
import { Clients } from '../../../src/cli/setup/clients.ts'
import { readValues } from '../../../src/cli/setup/entries.ts'
import { textFormatOf, planSetup, planUndo } from '../../../src/cli/setup/file-plan.ts'
import { FallbackModels, type GatewayFacts } from '../../../src/cli/setup/gateway.ts'

const GATEWAY: GatewayFacts = {
  url: 'http://127.0.0.1:8000',
  key: 'a-key-of-the-gateway',
  models: FallbackModels.filter(
    ({ id }) => id === 'claude-sonnet-5.5' || id === 'claude-haiku-4.5'
  ),
  wishedModel: null
}

/** What setup makes of a client's files, of which the first may be there already. */
function setUp(word: string, text: string | null, gateway = GATEWAY, env = {}) {
  const client = Clients[word]
  if (client === undefined) throw new Error(word)
  const paths = client.files({ folder: '/home/me', env }).map(([path]) => path)
  const texts = paths.map((_, index) => (index === 0 ? text : null))
  const current = paths.map((path, index) => ({
    path,
    values: readValues(textFormatOf(path, client.readsJson5), texts[index] ?? '')
  }))
  const plan = client.plan(gateway, current)
  const files = paths.map((path, index) => {
    const state = {
      format: textFormatOf(path, client.readsJson5),
      current: texts[index] ?? null,
      record: null
    }
    return planSetup(state, plan.files[index]?.entries ?? [])
  })
  return {
    paths,
    plan,
    texts: files.map(({ after }) => after),
    records: files.map(({ record }) => record)
  }
}

t.test('setup claude', async (t) => {
  t.test('adds three variables and leaves the rest as it is', async (t) => {
    const before = `{
  "$schema": "https://json.schemastore.org/claude-code-settings.json",
  "permissions": {
    "allow": ["Bash(npm run test:*)"]
  },
  "env": {
    "CLAUDE_CODE_ENABLE_TELEMETRY": "0"
  },
  "model": "opus",
  "hooks": {}
}
`
    const { texts, plan, paths } = setUp('claude', before)
    t.same(paths, ['/home/me/.claude/settings.json'])
    t.equal(
      texts[0],
      before.replace(
        '"0"\n',
        `"0",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:8000",
    "ANTHROPIC_AUTH_TOKEN": "a-key-of-the-gateway",
    "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1"
`
      )
    )
    t.same(plan.notes, [])
  })

  t.test('sets the model that is asked for', async (t) => {
    const { texts } = setUp('claude', null, { ...GATEWAY, wishedModel: 'claude-haiku-4-5' })
    t.match(
      texts[0],
      /^\{\n {2}"model": "claude-haiku-4.5",\n {2}"env": \{\n {4}"ANTHROPIC_BASE_URL"/
    )
  })

  t.test('has it sign in without a key, instead of what setup wrote before', async (t) => {
    const before = '{\n  "theme": "dark"\n}\n'
    const withKey = setUp('claude', before)
    const { planSignIn } = Clients['claude'] ?? {}
    const wish = { url: 'https://gateway.internal', model: null }
    const plan = planSignIn?.(wish, [{ path: 'settings.json', values: { env: {} } }])
    t.match(plan, { notes: [], start: 'claude, and type /login', files: [{ holdsKey: false }] })
    const state = {
      format: textFormatOf('settings.json'),
      current: withKey.texts[0] ?? null,
      record: withKey.records[0] ?? null
    }
    const { after, record } = planSetup(state, plan?.files[0]?.entries ?? [])
    t.same(JSON.parse(after ?? ''), {
      theme: 'dark',
      forceLoginMethod: 'gateway',
      forceLoginGatewayUrl: 'https://gateway.internal'
    })
    t.equal(planUndo({ ...state, current: after, record }).after, before)
    const values = { env: { ANTHROPIC_AUTH_TOKEN: 'x' } }
    t.match(planSignIn?.(wish, [{ path: 'settings.json', values }]).notes, [
      /instead of signing in/
    ])
  })

  t.test('says what is in its way', async (t) => {
    const { plan } = setUp(
      'claude',
      '{"env":{"ANTHROPIC_API_KEY":"x","CLAUDE_CODE_USE_BEDROCK":"1"}}'
    )
    t.match(plan.notes, [/ANTHROPIC_API_KEY/, /CLAUDE_CODE_USE_BEDROCK/])
  })

  t.test('follows CLAUDE_CONFIG_DIR', async (t) => {
    t.same(setUp('claude', null, GATEWAY, { CLAUDE_CONFIG_DIR: '/c' }).paths, ['/c/settings.json'])
  })
})

t.test('setup codex', async (t) => {
  const before = `# my Codex
model = "gpt-5.6-sol" # the best
model_reasoning_effort = "high"
approval_policy = "on-request"

[tui]
notifications = true # ping

[projects."/home/me/work"]
trust_level = "trusted"

[mcp_servers.docs]
command = "npx"
args = ["-y", "docs-mcp"]
`

  t.test('sets the model, and adds the provider at the end', async (t) => {
    const { texts, paths } = setUp('codex', before)
    t.same(paths, ['/home/me/.codex/config.toml'])
    t.equal(
      texts[0],
      `${before
        .replace('"gpt-5.6-sol"', '"claude-sonnet-5.5"')
        .replace(
          '"on-request"\n',
          '"on-request"\nmodel_provider = "kiro-gateway"\nmodel_context_window = 1000000\n'
        )}
[model_providers.kiro-gateway]
name = "Kiro"
base_url = "http://127.0.0.1:8000/v1"
wire_api = "responses"
supports_websockets = true
experimental_bearer_token = "a-key-of-the-gateway"
`
    )
  })

  t.test('leaves a model that the gateway has', async (t) => {
    const own = before.replace('gpt-5.6-sol', 'claude-haiku-4.5')
    const { texts } = setUp('codex', own)
    t.match(texts[0], /^# my Codex\nmodel = "claude-haiku-4.5" # the best\n/)
    t.match(texts[0], /model_context_window = 200000/)
  })

  t.test('changes a provider of the same name in its place', async (t) => {
    const own = `model_provider = "kiro-gateway"\n\n[model_providers.kiro-gateway]\nname = "mine"\nbase_url = "http://old/v1" # old\nrequest_max_retries = 3\n`
    const { texts, records } = setUp('codex', own)
    t.match(
      texts[0],
      /base_url = "http:\/\/127.0.0.1:8000\/v1" # old\nrequest_max_retries = 3\nwire_api/
    )
    const state = {
      format: textFormatOf('x.toml'),
      current: `${texts[0]}\n[more]\n`,
      record: records[0] ?? null
    }
    t.equal(planUndo(state).after, `${own}\n[more]\n`)
  })
})

t.test('setup opencode', async (t) => {
  t.test('adds a provider with all models, and chooses one', async (t) => {
    const before = `{
\t// mine
\t"$schema": "https://opencode.ai/config.json",
\t"provider": {
\t\t"ollama": { "npm": "@ai-sdk/openai-compatible" }, // local
\t},
\t"theme": "system", // dark at night
}
`
    const { texts, paths } = setUp('opencode', before)
    t.same(paths, ['/home/me/.config/opencode/opencode.jsonc'])
    const after = texts[0] ?? ''
    t.ok(after.startsWith(before.slice(0, before.indexOf('\n\t},'))))
    t.match(
      after,
      '\t"theme": "system", // dark at night\n\t"model": "kiro-gateway/claude-sonnet-5.5",\n}\n'
    )
    t.match(readValues(textFormatOf('x.json'), after), {
      provider: {
        ollama: { npm: '@ai-sdk/openai-compatible' },
        'kiro-gateway': {
          options: { baseURL: 'http://127.0.0.1:8000/v1', apiKey: GATEWAY.key },
          models: {
            'claude-sonnet-5.5': {
              name: 'Claude Sonnet 5.5',
              attachment: true,
              limit: { context: 1_000_000, output: 128_000 }
            },
            'claude-haiku-4.5': { limit: { context: 200_000, output: 32_000 } }
          }
        }
      }
    })
  })
})

t.test('setup qwen', async (t) => {
  t.test('leaves a model of the same id that another provider has', async (t) => {
    const other = {
      id: 'claude-haiku-4.5',
      name: 'Haiku',
      envKey: 'OTHER',
      baseUrl: 'http://other/v1'
    }
    const { texts } = setUp(
      'qwen',
      `${JSON.stringify({ $version: 4, modelProviders: { openai: [other] } }, null, 2)}\n`
    )
    const values = JSON.parse(texts[0] ?? '')
    t.match(values, {
      $version: 4,
      env: { KIRO_GATEWAY_KEY: GATEWAY.key },
      security: { auth: { selectedType: 'openai' } },
      model: { name: 'claude-sonnet-5.5' }
    })
    t.same(values.modelProviders.openai[0], other)
    t.equal(values.modelProviders.openai.length, 3)
  })
})

t.test('setup cline', async (t) => {
  t.test('makes the file that "cline auth" makes', async (t) => {
    const values = JSON.parse(setUp('cline', null).texts[0] ?? '')
    t.match(values, {
      version: 1,
      lastUsedProvider: 'openai-compatible',
      providers: {
        'openai-compatible': {
          settings: {
            provider: 'openai-compatible',
            apiKey: GATEWAY.key,
            model: 'claude-sonnet-5.5',
            baseUrl: 'http://127.0.0.1:8000/v1'
          },
          tokenSource: 'manual'
        }
      }
    })
  })
})

t.test('setup continue', async (t) => {
  const before = `name: My Config
version: 0.0.1
schema: v1

models:
  # the usual one
  - name: GPT
    provider: openai
    model: gpt-5
    apiKey: \${{ secrets.OPENAI }} # not here
    roles: [chat, edit]

rules:
  - Give short answers
`

  t.test('adds a model behind the others', async (t) => {
    t.equal(
      setUp('continue', before).texts[0],
      before.replace(
        'edit]\n',
        `edit]
  - name: Kiro
    provider: openai
    model: claude-sonnet-5.5
    apiBase: http://127.0.0.1:8000/v1
    apiKey: a-key-of-the-gateway
    capabilities:
      - tool_use
      - image_input
`
      )
    )
  })

  t.test('makes a file with what Continue wants in one', async (t) => {
    t.match(
      setUp('continue', null).texts[0],
      /^name: Local Config\nversion: 1.0.0\nschema: v1\nmodels:\n {2}- name: Kiro\n/
    )
  })
})

t.test('setup pi', async (t) => {
  t.test('adds a provider, and makes it the one to begin with', async (t) => {
    const { texts, paths } = setUp('pi', null)
    t.same(paths, ['/home/me/.pi/agent/models.json', '/home/me/.pi/agent/settings.json'])
    t.match(JSON.parse(texts[0] ?? ''), {
      providers: {
        'kiro-gateway': {
          api: 'openai-completions',
          baseUrl: 'http://127.0.0.1:8000/v1',
          apiKey: GATEWAY.key,
          models: [{ id: 'claude-sonnet-5.5' }, { id: 'claude-haiku-4.5', contextWindow: 200_000 }]
        }
      }
    })
    t.same(JSON.parse(texts[1] ?? ''), {
      defaultProvider: 'kiro-gateway',
      defaultModel: 'claude-sonnet-5.5'
    })
  })
})

t.test('setup copilot', async (t) => {
  t.test('adds a provider beside others, and makes its model the one to begin with', async (t) => {
    const other = { name: 'mine', baseUrl: 'http://other/v1' }
    const { texts, paths, plan } = setUp('copilot', JSON.stringify({ providers: [other] }))
    t.same(paths, ['/home/me/.copilot/providers.json', '/home/me/.copilot/settings.json'])
    t.match(plan.files, [{ holdsKey: true }, { holdsKey: false }])
    const values = JSON.parse(texts[0] ?? '')
    t.same(values.providers, [
      other,
      {
        name: 'kiro-gateway',
        type: 'openai',
        wireApi: 'responses',
        transport: 'websockets',
        baseUrl: 'http://127.0.0.1:8000/v1',
        apiKey: GATEWAY.key
      }
    ])
    t.match(values.models, [
      { id: 'claude-sonnet-5.5', provider: 'kiro-gateway', maxPromptTokens: 872_000 },
      {
        id: 'claude-haiku-4.5',
        capabilities: { supports: { vision: true } },
        maxContextWindowTokens: 200_000,
        maxPromptTokens: 168_000,
        maxOutputTokens: 32_000
      }
    ])
    t.same(JSON.parse(texts[1] ?? ''), { model: 'kiro-gateway/claude-sonnet-5.5' })
  })

  t.test('follows COPILOT_HOME and COPILOT_PROVIDERS_CONFIG', async (t) => {
    const env = { COPILOT_HOME: '/c', COPILOT_PROVIDERS_CONFIG: '/p.json' }
    t.same(setUp('copilot', null, GATEWAY, env).paths, ['/p.json', '/c/settings.json'])
  })
})

t.test('setup kilo', async (t) => {
  t.test('adds a provider with all models, in the file that is there', async (t) => {
    const before = '{ "model": "kiro-gateway/claude-haiku-4.5" }\n'
    const { texts, paths } = setUp('kilo', before)
    t.same(paths, ['/home/me/.config/kilo/kilo.jsonc'])
    t.match(JSON.parse(texts[0] ?? ''), {
      model: 'kiro-gateway/claude-haiku-4.5',
      provider: {
        'kiro-gateway': {
          npm: '@ai-sdk/openai-compatible',
          options: { baseURL: 'http://127.0.0.1:8000/v1', apiKey: GATEWAY.key },
          models: { 'claude-sonnet-5.5': { limit: { context: 1_000_000, output: 128_000 } } }
        }
      }
    })
  })

  t.test('follows KILO_CONFIG_DIR', async (t) => {
    t.same(setUp('kilo', null, GATEWAY, { KILO_CONFIG_DIR: '/k' }).paths, ['/k/kilo.jsonc'])
  })
})

t.test('setup openclaw', async (t) => {
  t.test('adds a provider, and makes its model the first', async (t) => {
    const { texts, paths, plan } = setUp(
      'openclaw',
      '{"agents":{"defaults":{"model":{"primary":"a/b","fallbacks":["c/d"]}}}}',
      {
        ...GATEWAY,
        key: 'a${KEY}',
        models: GATEWAY.models.map((one) => ({ ...one, thinks: true }))
      }
    )
    t.same(paths, ['/home/me/.openclaw/openclaw.json'])
    t.same(plan.notes, [])
    t.match(JSON.parse(texts[0] ?? ''), {
      agents: {
        defaults: { model: { primary: 'kiro-gateway/claude-sonnet-5.5', fallbacks: ['c/d'] } }
      },
      models: {
        providers: {
          'kiro-gateway': {
            api: 'openai-completions',
            baseUrl: 'http://127.0.0.1:8000/v1',
            apiKey: 'a$${KEY}',
            models: [
              { id: 'claude-sonnet-5.5', compat: { supportsReasoningEffort: true } },
              { id: 'claude-haiku-4.5', maxTokens: 32_000 }
            ]
          }
        }
      }
    })
  })

  t.test(
    'replaces a model that is a name alone, and says that a list has to allow it',
    async (t) => {
      const defaults = { model: 'a/b', modelPolicy: { allow: ['a/*'] } }
      const { texts, plan } = setUp('openclaw', JSON.stringify({ agents: { defaults } }))
      t.equal(JSON.parse(texts[0] ?? '').agents.defaults.model, 'kiro-gateway/claude-sonnet-5.5')
      t.match(plan.notes, [/modelPolicy\.allow .* Add "kiro-gateway\/\*"/])
    }
  )

  t.test('finds its file by its variables', async (t) => {
    for (const [env, path] of [
      [{ OPENCLAW_HOME: '/h' }, '/h/.openclaw/openclaw.json'],
      [{ OPENCLAW_HOME: '/h', OPENCLAW_STATE_DIR: '/s' }, '/s/openclaw.json'],
      [{ OPENCLAW_STATE_DIR: '/s', OPENCLAW_CONFIG_PATH: '/c.json' }, '/c.json']
    ] as const) {
      t.same(setUp('openclaw', null, GATEWAY, env).paths, [path])
    }
  })
})

t.test('a configuration in JSON5 stays as it is written', async (t) => {
  const before = `// mine
{
  gateway: { port: 0x4965, mode: 'local', },
  agents: {
    defaults: { workspace: '~/claw', /* a note */ },
  },
  models: { mode: "merge" },
}
`
  const [after = ''] = setUp('openclaw', before).texts
  const added = after ?? ''
  for (const line of ['// mine', "gateway: { port: 0x4965, mode: 'local', },", '/* a note */'])
    t.match(added, line)
  const values = readValues(textFormatOf('openclaw.json', true), added)
  t.match(values, {
    gateway: { port: 0x4965, mode: 'local' },
    agents: { defaults: { workspace: '~/claw', model: { primary: /^kiro-gateway\// } } },
    models: { mode: 'merge', providers: { 'kiro-gateway': { baseUrl: /\/v1$/ } } }
  })
  const [record = null] = setUp('openclaw', before).records
  t.equal(
    planUndo({ format: textFormatOf('openclaw.json', true), current: added, record }).after,
    before
  )
  t.throws(() => setUp('claude', before), { code: 'GW_CLIENT_FILE' }, 'of a client that reads JSON')
})

t.test('a configuration that is broken', async (t) => {
  for (const [word, text, place] of [
    [
      'claude',
      '{\n  "env": {\n    "A": "1"\n    "B": "2"\n  }\n}\n',
      /^line 4, column 5: comma expected$/
    ],
    ['openclaw', "{\n  gateway: { mode 'local' }\n}\n", /^line 2, column 19: unexpected token/],
    ['openclaw', '{ gateway: ?', /^line 1, column 12: unexpected character/],
    ['openclaw', "{ gateway: 'a", /^line 1, column /],
    ['openclaw', '// nothing\n[]', /^line 2, column 1: object expected$/],
    ['claude', '[]', /^line 1, column 1: object expected$/],
    ['claude', '{"env": "none"}', /^line 1, column 9: env is not an object$/],
    ['codex', 'model = "a"\nmodel = ]\n', /^line 2, column /],
    ['continue', 'models:\n  - name: a\n provider: b\n', /^line 3, column /],
    ['continue', 'models: many\n', /^line 1, column 9: models is not a list$/]
  ] as const) {
    t.throws(() => setUp(word, text), { code: 'GW_CLIENT_FILE', message: place }, text)
  }
})
