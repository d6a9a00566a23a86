import {
  answersBySchema,
  compacts,
  looksAtImage,
  outgrowsWindow,
  survivesInterruption,
  toolCallTrial
} from './cli-trials.ts'
import {
  type Chat,
  type Client,
  type Command,
  type Place,
  programOf,
  shellTools,
  type Way
} from './client.ts'
import { type PlainWay, setUpWay } from './set-up-way.ts'
import { THINKING } from './upstream-trials.ts'

const CONFIG = '.codex/config.toml'
const FREE = ['--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox']
/** It asks names that it does not know for no reasoning by itself. */
const EFFORT = [
  '-c',
  'model_reasoning_effort="high"',
  '-c',
  'model_supports_reasoning_summaries=true'
]
const PATCH = '*** Begin Patch\n*** Add File: patched.txt\n+one line\n*** End Patch\n'

const SHELL = shellTools((cmd) => `exec_command with ${JSON.stringify({ cmd })}`)

/** Codex asks for other kinds of tools by the name of the model: functions, grammars, or JavaScript. */
export const CODEX: Client = {
  name: 'Codex',
  id: 'codex',
  packages: { '@openai/codex': '0.169.0' },
  ways: [
    {
      ...providerWay({ note: 'model_provider' }),
      chat: chatWith(''),
      more: [outputSchema(), viewImage(), compaction(), survivesInterruption(SHELL), THINKING]
    },
    {
      ...providerWay({ note: 'openai_base_url' }),
      files: (place) => ({
        [CONFIG]: `model = "${place.model}"\nopenai_base_url = "${place.url}/v1"\n`
      }),
      setUp: (place) => [
        { argv: [programOf(place, 'codex'), 'login', '--with-api-key'], stdin: place.key }
      ],
      more: [compaction(), outgrown()]
    },
    {
      ...providerWay({ note: 'as gpt-5.5', model: 'gpt-5.5' }),
      more: [
        toolCallTrial('patch', `apply_patch with ${JSON.stringify({ input: PATCH })}`, {
          'patched.txt': 'one line\n'
        })
      ]
    },
    {
      ...providerWay({ note: 'as gpt-5.6-sol', model: 'gpt-5.6-sol' }),
      takesSingleCalls: true,
      tools: shellTools((cmd) => `functions__exec with ${JSON.stringify({ input: script(cmd) })}`)
    },
    {
      ...providerWay({ note: 'WebSocket' }),
      files: (place) => ({ [CONFIG]: `${providerConfig(place)}supports_websockets = true\n` }),
      chat: chatWith('supports_websockets = true\n'),
      more: [survivesInterruption(SHELL), THINKING]
    },
    setUpWay('codex', CONFIG, plainWay())
  ]
}

function providerWay(special: Pick<Way, 'note' | 'model'>): Way {
  return {
    ...plainWay(),
    ...special,
    files: (place) => ({ [CONFIG]: providerConfig(place) })
  }
}

function plainWay() {
  return {
    api: 'Responses',
    ask: (prompt, place) => codex(['exec', ...FREE, '--', prompt], place),
    resume: (prompt, place) => codex(['exec', 'resume', '--last', ...FREE, '--', prompt], place),
    think: (prompt, place) => codex(['exec', ...EFFORT, ...FREE, '--', prompt], place),
    tools: SHELL
  } satisfies PlainWay
}

/** Ctrl-C asks what is to become of the answer. */
function chatWith(more: string): Chat {
  return {
    command: (place) => codex(['--dangerously-bypass-approvals-and-sandbox'], place),
    files: (place) => {
      const trusted = `[projects."${place.project}"]\ntrust_level = "trusted"\n`
      return { [CONFIG]: `${providerConfig(place)}${more}\n${trusted}` }
    },
    ready: /Ask Codex to do anything/,
    interrupt: [{ key: 'C-c' }, { after: /1\. Cancel task/, key: 'Enter' }]
  }
}

function outputSchema() {
  return answersBySchema((prompt, schemaFile, place) =>
    codex(['exec', ...FREE, '--output-schema', schemaFile, '--', prompt], place)
  )
}

function viewImage() {
  return looksAtImage((path) => `view_image with ${JSON.stringify({ path })}`)
}

/** Codex compacts by the usage that it is told. */
function compaction() {
  const limit = ['-c', 'model_auto_compact_token_limit=9000']
  return compacts(
    'context compacted',
    (prompt, place) => codex(['exec', 'resume', '--last', ...limit, ...FREE, '--', prompt], place),
    'And what comes next?'
  )
}

function outgrown() {
  return outgrowsWindow(SHELL, {
    sign: 'context compacted',
    limit: ({ argv: [program = '', ...argv], ...command }) => ({
      ...command,
      argv: [program, '-c', 'model_context_window=32000', ...argv]
    })
  })
}

/** What the model writes for Codex to run where its only tool is JavaScript. */
function script(cmd: string): string {
  return `const { output } = await tools.exec_command(${JSON.stringify({ cmd })})\ntext(output)`
}

function codex(argv: readonly string[], place: Place): Command {
  return { argv: [programOf(place, 'codex'), ...argv], env: { GATEWAY_KEY: place.key } }
}

function providerConfig({ url, model }: Place): string {
  return `model = "${model}"
model_provider = "gateway"

[model_providers.gateway]
name = "gateway"
base_url = "${url}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
`
}
