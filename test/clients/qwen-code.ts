import { survivesInterruption } from './cli-trials.ts'
import { type Api, type Client, type Place, programOf, shellTools, type Way } from './client.ts'
import { setUpWay } from './set-up-way.ts'
import { readsPdf, THINKING, THINKING_MODEL } from './upstream-trials.ts'

const SHELL = shellTools(
  (command) => `run_shell_command with ${JSON.stringify({ command, is_background: false })}`
)

const READS_PDF = readsPdf((path) => `read_file with ${JSON.stringify({ file_path: path })}`)

export const QWEN_CODE: Client = {
  name: 'Qwen Code',
  id: 'qwen-code',
  packages: { '@qwen-code/qwen-code': '0.24.4' },
  ways: [
    authWay('Chat Completions', 'openai'),
    authWay('Responses', 'openai-responses'),
    authWay('Messages', 'anthropic'),
    setUpWay('qwen', '.qwen/settings.json', {
      api: 'Chat Completions',
      ask: (prompt, place) => ({ argv: [programOf(place, 'qwen'), '--yolo', '-p', prompt] }),
      resume: (prompt, place) => ({
        argv: [programOf(place, 'qwen'), '--yolo', '--continue', '-p', prompt]
      }),
      tools: SHELL
    })
  ]
}

function authWay(api: Api, authType: string): Way {
  const qwen = (argv: readonly string[], place: Place) => ({
    argv: [programOf(place, 'qwen'), '--auth-type', authType, '--yolo', ...argv],
    env: authType === 'anthropic' ? anthropicEnvironment(place) : openaiEnvironment(place)
  })
  return {
    api,
    files: ({ model }) => ({ '.qwen/settings.json': settingsOf(model) }),
    ask: (prompt, place) => qwen(['-p', prompt], place),
    resume: (prompt, place) => qwen(['--continue', '-p', prompt], place),
    tools: SHELL,
    more: [
      survivesInterruption(SHELL),
      THINKING,
      // In Responses it sends no document, whatever the model can read.
      ...(api === 'Responses' ? [] : [READS_PDF])
    ]
  }
}

/** It takes a model that it does not know for one that reads text only. */
function settingsOf(model: string): string {
  const reasoning = { effort: 'high' }
  const generationConfig = {
    modalities: { image: true, pdf: true },
    ...(model === THINKING_MODEL && { reasoning })
  }
  return JSON.stringify({ model: { generationConfig } })
}

function openaiEnvironment({ url, key, model }: Place): Readonly<Record<string, string>> {
  return { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key, OPENAI_MODEL: model }
}

function anthropicEnvironment({ url, key, model }: Place): Readonly<Record<string, string>> {
  return { ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: key, ANTHROPIC_MODEL: model }
}
