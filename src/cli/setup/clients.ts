import { join, resolve } from 'node:path'
import type { Environment } from '../../config/load.ts'
import type { JsonObject } from '../../shared/json.ts'
import type { Entry } from './entries.ts'
import { type GatewayFacts, type KeyCommand, modelFor, type OfferedModel } from './gateway.ts'
import { signInSettings } from './sign-in.ts'
import { type Leaf, type Path, valueOnPath } from './text/text-format.ts'

const PROVIDER = 'kiro-gateway'
const TITLE = 'Kiro'
/** For clients that need a limit where the model's is unknown. */
const USUAL_OUTPUT_TOKENS = 32_000

export interface Home {
  readonly folder: string
  readonly env: Environment
}

export type FileChoice = readonly [string, ...string[]]

export interface FileWish {
  readonly entries: readonly Entry[]
  readonly holdsKey: boolean
}

export interface ClientPlan {
  readonly files: readonly FileWish[]
  readonly start: string
  readonly notes: readonly string[]
}

export interface ClientSetup {
  readonly title: string
  /** Runs a command to get its key, and again when that has expired. */
  readonly runsKeyCommand?: true
  /** True for a client whose files are JSON5. */
  readonly readsJson5?: true
  readonly files: (home: Home) => readonly FileChoice[]
  /** `current`: content of its files in the same order. */
  readonly plan: (gateway: GatewayFacts, current: readonly CurrentFile[]) => ClientPlan
  /** Missing for a client that cannot sign in to a gateway by itself. */
  readonly planSignIn?: (wish: SignInWish, current: readonly CurrentFile[]) => ClientPlan
}

export interface SignInWish extends Pick<GatewayFacts, 'url'> {
  /** `null`: the client's own. */
  readonly model: string | null
}

export interface CurrentFile {
  readonly path: string
  readonly values: JsonObject
}

function placeIn(env: Environment, name: string): string | null {
  const folder = env[name]
  return folder === undefined || folder === '' ? null : resolve(folder)
}

function entry(path: Path, value: Leaf): Entry {
  return { path, value }
}

function byDefault(path: Path, value: Leaf): Entry {
  return { path, value, isDefault: true }
}

/** No entry for what the model list does not tell. */
function known(path: Path, value: Leaf | undefined): readonly Entry[] {
  return value === undefined ? [] : [entry(path, value)]
}

const claude: ClientSetup = {
  title: 'Claude Code',
  runsKeyCommand: true,
  files: ({ folder, env }) => [
    [join(placeIn(env, 'CLAUDE_CONFIG_DIR') ?? join(folder, '.claude'), 'settings.json')]
  ],
  plan(gateway, [file]) {
    const { url, key, keyCommand, wishedModel } = gateway
    const model = wishedModel === null ? [] : [entry(['model'], modelFor(gateway, null).id)]
    return {
      files: [
        {
          entries: [
            ...model,
            entry(['env', 'ANTHROPIC_BASE_URL'], url),
            keyCommand === undefined
              ? entry(['env', 'ANTHROPIC_AUTH_TOKEN'], key)
              : entry(['apiKeyHelper'], shellText(keyCommand)),
            entry(['env', 'CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY'], '1')
          ],
          holdsKey: keyCommand === undefined
        }
      ],
      start: 'claude',
      notes: conflictsIn(file, CLAUDE_CONFLICTS)
    }
  },
  planSignIn({ url, model }, [file]) {
    const settings = Object.entries(signInSettings(url)).map(([name, value]) =>
      entry([name], value)
    )
    const models = model === null ? [] : [entry(['model'], model)]
    return {
      files: [{ entries: [...models, ...settings], holdsKey: false }],
      start: 'claude, and type /login',
      notes: conflictsIn(file, [...CLAUDE_CONFLICTS, ...SIGN_IN_CONFLICTS])
    }
  }
}

type Conflict = readonly [name: string, why: string]

function conflictsIn(
  file: CurrentFile | undefined,
  conflicts: readonly Conflict[]
): readonly string[] {
  return conflicts.flatMap(([name, why]) =>
    valueOnPath(file?.values, ['env', name]) === undefined
      ? []
      : `env.${name} is set in ${file?.path}: ${why}`
  )
}

const SIGN_IN_CONFLICTS: readonly Conflict[] = [
  ['ANTHROPIC_BASE_URL', 'Claude Code goes there instead of signing in. Remove it.'],
  ['ANTHROPIC_AUTH_TOKEN', 'Claude Code uses it instead of signing in. Remove it.']
]

const CLAUDE_CONFLICTS: readonly Conflict[] = [
  ['ANTHROPIC_API_KEY', 'Claude Code also sends it to the gateway. Remove it.'],
  ['CLAUDE_CODE_USE_BEDROCK', 'Claude Code does not use the gateway while it is set.'],
  ['CLAUDE_CODE_USE_VERTEX', 'Claude Code does not use the gateway while it is set.'],
  ['CLAUDE_CODE_USE_FOUNDRY', 'Claude Code does not use the gateway while it is set.']
]

/** The key is in the file: desktop application and editor extensions see no variables of a terminal. */
const codex: ClientSetup = {
  title: 'Codex',
  runsKeyCommand: true,
  files: ({ folder, env }) => [
    [join(placeIn(env, 'CODEX_HOME') ?? join(folder, '.codex'), 'config.toml')]
  ],
  plan(gateway, [file]) {
    const { id, contextWindow } = modelFor(gateway, file?.values['model'])
    const provider = ['model_providers', PROVIDER]
    const { key, keyCommand } = gateway
    const entries = [
      entry(['model'], id),
      entry(['model_provider'], PROVIDER),
      // Codex knows only the windows of OpenAI's models, and compacts by them.
      ...(id.startsWith('gpt') ? [] : known(['model_context_window'], contextWindow)),
      entry([...provider, 'name'], TITLE),
      entry([...provider, 'base_url'], `${gateway.url}/v1`),
      entry([...provider, 'wire_api'], 'responses'),
      // Only what is new goes up in each turn, over HTTP where a proxy lets no WebSocket through. One has the token with
      // which it was opened, so a sign-in, whose tokens end within the hour, stays with HTTP.
      ...(keyCommand === undefined
        ? [
            entry([...provider, 'supports_websockets'], true),
            entry([...provider, 'experimental_bearer_token'], key)
          ]
        : codexKeyCommand([...provider, 'auth'], keyCommand))
    ]
    return {
      files: [{ entries, holdsKey: keyCommand === undefined }],
      start: 'codex',
      notes: []
    }
  }
}

/** Codex runs it every five minutes, and after a 401. */
function codexKeyCommand(place: Path, [program, ...args]: KeyCommand): readonly Entry[] {
  return [
    entry([...place, 'command'], program),
    entry([...place, 'args'], args),
    entry([...place, 'timeout_ms'], KEY_COMMAND_MS)
  ]
}

/** Renewing a token asks the gateway. */
const KEY_COMMAND_MS = 30_000

/** A command for the shell of a client. */
function shellText(words: readonly string[]): string {
  return words.map((word) => (PLAIN_WORD.test(word) ? word : quoted(word))).join(' ')
}

const PLAIN_WORD = /^[\w@%+=:,./\\-]+$/

function quoted(word: string): string {
  return process.platform === 'win32' ? `"${word}"` : `'${word.replaceAll("'", "'\\''")}'`
}

const opencode: ClientSetup = {
  title: 'OpenCode',
  files({ folder, env }) {
    const own = join(placeIn(env, 'XDG_CONFIG_HOME') ?? join(folder, '.config'), 'opencode')
    return [[join(own, 'opencode.jsonc'), join(own, 'opencode.json')]]
  },
  plan: (gateway, [file]) =>
    openCodePlan(gateway, file, { start: 'opencode', schema: 'https://opencode.ai/config.json' })
}

/** Kilo Code is made of OpenCode, and configured like it. */
const kilo: ClientSetup = {
  title: 'Kilo Code',
  files({ folder, env }) {
    const usual = join(placeIn(env, 'XDG_CONFIG_HOME') ?? join(folder, '.config'), 'kilo')
    const own = placeIn(env, 'KILO_CONFIG_DIR') ?? usual
    return [[join(own, 'kilo.jsonc'), join(own, 'kilo.json')]]
  },
  plan: (gateway, [file]) =>
    openCodePlan(gateway, file, { start: 'kilo', schema: 'https://app.kilo.ai/config.json' })
}

interface OpenCodeKind {
  readonly start: string
  /** URL of the schema that its configuration follows. */
  readonly schema: string
}

function openCodePlan(
  gateway: GatewayFacts,
  file: CurrentFile | undefined,
  { start, schema }: OpenCodeKind
): ClientPlan {
  const model = modelFor(gateway, ownModel(file?.values['model']))
  const provider = ['provider', PROVIDER]
  const entries = [
    byDefault(['$schema'], schema),
    entry(['model'], `${PROVIDER}/${model.id}`),
    entry([...provider, 'npm'], '@ai-sdk/openai-compatible'),
    entry([...provider, 'name'], TITLE),
    entry([...provider, 'options', 'baseURL'], `${gateway.url}/v1`),
    entry([...provider, 'options', 'apiKey'], gateway.key),
    ...withModel(gateway.models, model).flatMap((one) => {
      const place = [...provider, 'models', one.id]
      const { context, output } = limitsOf(one)
      return [
        entry([...place, 'name'], one.name),
        entry([...place, 'attachment'], one.takesImages),
        entry([...place, 'modalities', 'input'], inputsOf(one)),
        entry([...place, 'modalities', 'output'], ['text']),
        ...known([...place, 'limit', 'context'], context),
        ...known([...place, 'limit', 'output'], output)
      ]
    })
  ]
  return { files: [{ entries, holdsKey: true }], start, notes: [] }
}

/** For clients that need all limits or none: empty if the window is not known. */
function limitsOf({
  contextWindow: context,
  maxOutputTokens: output = USUAL_OUTPUT_TOKENS
}: OfferedModel): Partial<Record<'context' | 'output' | 'prompt', number>> {
  return context === undefined ? {} : { context, output, prompt: context - output }
}

function inputsOf({ takesImages }: OfferedModel): readonly string[] {
  return takesImages ? ['text', 'image'] : ['text']
}

/** Name of a model without this provider in front, as clients write the one in use. */
function ownModel(current: unknown): string | null {
  return typeof current === 'string' ? current.replace(`${PROVIDER}/`, '') : null
}

const qwen: ClientSetup = {
  title: 'Qwen Code',
  files: ({ folder, env }) => [
    [join(placeIn(env, 'QWEN_HOME') ?? join(folder, '.qwen'), 'settings.json')]
  ],
  plan(gateway, [file]) {
    const model = modelFor(gateway, valueOnPath(file?.values, ['model', 'name']))
    const entries = [
      entry(['env', 'KIRO_GATEWAY_KEY'], gateway.key),
      entry(['security', 'auth', 'selectedType'], 'openai'),
      entry(['model', 'name'], model.id),
      ...withModel(gateway.models, model).flatMap((one) => {
        // By name: other providers may have models of the same id.
        const place = ['modelProviders', 'openai', { member: 'name', is: `${TITLE}: ${one.name}` }]
        return [
          entry([...place, 'id'], one.id),
          entry([...place, 'envKey'], 'KIRO_GATEWAY_KEY'),
          entry([...place, 'baseUrl'], `${gateway.url}/v1`),
          ...known([...place, 'generationConfig', 'contextWindowSize'], one.contextWindow)
        ]
      })
    ]
    return { files: [{ entries, holdsKey: true }], start: 'qwen', notes: [] }
  }
}

const cline: ClientSetup = {
  title: 'Cline',
  files({ folder, env }) {
    const own = placeIn(env, 'CLINE_DIR') ?? join(folder, '.cline')
    const usual = join(
      placeIn(env, 'CLINE_DATA_DIR') ?? join(own, 'data'),
      'settings',
      'providers.json'
    )
    return [[placeIn(env, 'CLINE_PROVIDER_SETTINGS_PATH') ?? usual]]
  },
  plan(gateway, [file]) {
    const provider = 'openai-compatible'
    const settings = ['providers', provider, 'settings']
    const model = modelFor(gateway, valueOnPath(file?.values, [...settings, 'model']))
    const entries = [
      byDefault(['version'], 1),
      entry(['lastUsedProvider'], provider),
      byDefault(['modes'], {}),
      entry([...settings, 'provider'], provider),
      entry([...settings, 'apiKey'], gateway.key),
      entry([...settings, 'model'], model.id),
      entry([...settings, 'baseUrl'], `${gateway.url}/v1`),
      byDefault(['providers', provider, 'updatedAt'], new Date().toISOString()),
      byDefault(['providers', provider, 'tokenSource'], 'manual')
    ]
    return {
      files: [{ entries, holdsKey: true }],
      start: 'cline',
      notes: [
        `In VS Code, choose "OpenAI Compatible" in Cline's settings, and enter ${gateway.url}/v1, the key and ${model.id}.`
      ]
    }
  }
}

const continueDev: ClientSetup = {
  title: 'Continue',
  files({ folder, env }) {
    const own = placeIn(env, 'CONTINUE_GLOBAL_DIR') ?? join(folder, '.continue')
    // A config.yaml would hide an old config.json.
    return [[join(own, 'config.yaml'), join(own, 'config.json'), join(own, 'config.yaml')]]
  },
  plan(gateway, [file]) {
    const isOld = file?.path.endsWith('.json') === true
    const place = ['models', { member: isOld ? 'title' : 'name', is: TITLE }]
    const { id, takesImages } = modelFor(gateway, valueOnPath(file?.values, [...place, 'model']))
    const entries = [
      ...(isOld ? [] : CONTINUE_HEAD),
      entry([...place, 'provider'], 'openai'),
      entry([...place, 'model'], id),
      entry([...place, 'apiBase'], `${gateway.url}/v1`),
      entry([...place, 'apiKey'], gateway.key),
      ...(isOld
        ? []
        : [
            entry(
              [...place, 'capabilities'],
              takesImages ? ['tool_use', 'image_input'] : ['tool_use']
            )
          ])
    ]
    return {
      files: [{ entries, holdsKey: true }],
      start: 'cn',
      notes: [`Choose the model "${TITLE}" if another one is in use.`]
    }
  }
}

const CONTINUE_HEAD = [
  byDefault(['name'], 'Local Config'),
  byDefault(['version'], '1.0.0'),
  byDefault(['schema'], 'v1')
]

/** In pi's keys, dollars and a leading exclamation mark are special. */
const pi: ClientSetup = {
  title: 'pi',
  runsKeyCommand: true,
  files({ folder, env }) {
    const own = placeIn(env, 'PI_CODING_AGENT_DIR') ?? join(folder, '.pi', 'agent')
    return [[join(own, 'models.json')], [join(own, 'settings.json')]]
  },
  plan(gateway, [, settings]) {
    const model = modelFor(gateway, settings?.values['defaultModel'])
    const provider = ['providers', PROVIDER]
    const models = [
      entry([...provider, 'api'], 'openai-completions'),
      entry([...provider, 'baseUrl'], `${gateway.url}/v1`),
      entry([...provider, 'apiKey'], keyOfPi(gateway)),
      ...withModel(gateway.models, model).flatMap((one) => {
        const place = [...provider, 'models', { member: 'id', is: one.id }]
        return [
          entry([...place, 'name'], one.name),
          entry([...place, 'reasoning'], one.thinks),
          entry([...place, 'input'], inputsOf(one)),
          ...known([...place, 'contextWindow'], one.contextWindow),
          ...known([...place, 'maxTokens'], one.maxOutputTokens)
        ]
      })
    ]
    return {
      files: [
        { entries: models, holdsKey: gateway.keyCommand === undefined },
        {
          entries: [entry(['defaultProvider'], PROVIDER), entry(['defaultModel'], model.id)],
          holdsKey: false
        }
      ],
      start: 'pi',
      notes: []
    }
  }
}

/** pi runs a command at each request. */
function keyOfPi({ key, keyCommand }: GatewayFacts): string {
  if (keyCommand !== undefined) return `!${shellText(keyCommand)}`
  return key.replaceAll('$', '$$$$').replace(/^!/, '$$!')
}

/** Copilot CLI holds one WebSocket open, and goes on over HTTP where it gets none. */
const copilot: ClientSetup = {
  title: 'Copilot CLI',
  files({ folder, env }) {
    const own = placeIn(env, 'COPILOT_HOME') ?? join(folder, '.copilot')
    const providers = placeIn(env, 'COPILOT_PROVIDERS_CONFIG') ?? join(own, 'providers.json')
    return [[providers], [join(own, 'settings.json')]]
  },
  plan(gateway, [, settings]) {
    const model = modelFor(gateway, ownModel(settings?.values['model']))
    const provider = ['providers', { member: 'name', is: PROVIDER }]
    const providers = [
      entry([...provider, 'type'], 'openai'),
      entry([...provider, 'wireApi'], 'responses'),
      entry([...provider, 'transport'], 'websockets'),
      entry([...provider, 'baseUrl'], `${gateway.url}/v1`),
      entry([...provider, 'apiKey'], gateway.key),
      ...withModel(gateway.models, model).flatMap((one) => {
        // By name: other providers may have models of the same id.
        const place = ['models', { member: 'name', is: `${TITLE}: ${one.name}` }]
        const { context, output, prompt } = limitsOf(one)
        return [
          entry([...place, 'id'], one.id),
          entry([...place, 'provider'], PROVIDER),
          entry([...place, 'capabilities', 'supports', 'vision'], one.takesImages),
          ...known([...place, 'maxContextWindowTokens'], context),
          ...known([...place, 'maxPromptTokens'], prompt),
          ...known([...place, 'maxOutputTokens'], output)
        ]
      })
    ]
    return {
      files: [
        { entries: providers, holdsKey: true },
        { entries: [entry(['model'], `${PROVIDER}/${model.id}`)], holdsKey: false }
      ],
      start: 'copilot',
      notes: []
    }
  }
}

const openclaw: ClientSetup = {
  title: 'OpenClaw',
  readsJson5: true,
  files({ folder, env }) {
    const home = placeIn(env, 'OPENCLAW_HOME') ?? folder
    const own = placeIn(env, 'OPENCLAW_STATE_DIR') ?? join(home, '.openclaw')
    return [[placeIn(env, 'OPENCLAW_CONFIG_PATH') ?? join(own, 'openclaw.json')]]
  },
  plan(gateway, [file]) {
    const place = placeOfModel(file)
    const model = modelFor(gateway, ownModel(valueOnPath(file?.values, place)))
    const provider = ['models', 'providers', PROVIDER]
    const entries = [
      entry(place, `${PROVIDER}/${model.id}`),
      entry([...provider, 'api'], 'openai-completions'),
      entry([...provider, 'baseUrl'], `${gateway.url}/v1`),
      entry([...provider, 'apiKey'], gateway.key.replaceAll('${', '$$$${')),
      ...withModel(gateway.models, model).flatMap((one) => {
        const of = [...provider, 'models', { member: 'id', is: one.id }]
        const { context, output } = limitsOf(one)
        return [
          entry([...of, 'name'], one.name),
          entry([...of, 'reasoning'], one.thinks),
          ...(one.thinks ? [entry([...of, 'compat', 'supportsReasoningEffort'], true)] : []),
          entry([...of, 'input'], inputsOf(one)),
          ...known([...of, 'contextWindow'], context),
          ...known([...of, 'maxTokens'], output)
        ]
      })
    ]
    return {
      files: [{ entries, holdsKey: true }],
      start: 'openclaw chat',
      notes: allowlistNotes(file, `${PROVIDER}/*`)
    }
  }
}

const AGENT_DEFAULTS = ['agents', 'defaults']

/** `model` is a name, or an object with the name and those to fall back to. */
function placeOfModel(file: CurrentFile | undefined): Path {
  const place = [...AGENT_DEFAULTS, 'model']
  return typeof valueOnPath(file?.values, place) === 'string' ? place : [...place, 'primary']
}

function allowlistNotes(file: CurrentFile | undefined, wanted: string): readonly string[] {
  const allowed = valueOnPath(file?.values, [...AGENT_DEFAULTS, 'modelPolicy', 'allow'])
  if (!Array.isArray(allowed) || allowed.length === 0 || allowed.includes(wanted)) return []
  return [
    `agents.defaults.modelPolicy.allow in ${file?.path} lists the models that OpenClaw may use. Add "${wanted}".`
  ]
}

function withModel(models: readonly OfferedModel[], chosen: OfferedModel): readonly OfferedModel[] {
  return models.some(({ id }) => id === chosen.id) ? models : [...models, chosen]
}

export const Clients: Readonly<Record<string, ClientSetup>> = {
  claude,
  codex,
  opencode,
  qwen,
  cline,
  continue: continueDev,
  pi,
  copilot,
  kilo,
  openclaw
}
