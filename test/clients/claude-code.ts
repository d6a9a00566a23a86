import { answersByTool, compacts, looksAtImage, survivesInterruption } from './cli-trials.ts'
import { binaryOf, type Client, type Command, type Place, shellTools } from './client.ts'
import { setUpWay } from './set-up-way.ts'
import { readsPdf, THINKING } from './upstream-trials.ts'

/** Claude Code asks before it uses others. */
const ALLOWED = 'Bash,Read,Write,Edit'

const SHELL = shellTools((command) => `Bash with ${JSON.stringify({ command })}`)

export const CLAUDE_CODE: Client = {
  name: 'Claude Code',
  id: 'claude-code',
  packages: { '@anthropic-ai/claude-code': '2.1.332' },
  ways: [
    {
      api: 'Messages',
      ask: (prompt, place) => claude(['--', prompt], place),
      resume: (prompt, place) => claude(['--continue', '--', prompt], place),
      more: [
        answersByTool('StructuredOutput', (prompt, schema, place) =>
          claude(['--output-format', 'json', '--json-schema', schema, '--', prompt], place)
        ),
        looksAtImage((path) => `Read with ${JSON.stringify({ file_path: path })}`),
        compacts('compact_boundary', resumeVerbosely, 'sim:context-overflow'),
        survivesInterruption(SHELL),
        THINKING,
        readsPdf((path) => `Read with ${JSON.stringify({ file_path: path })}`)
      ],
      tools: SHELL
    },
    setUpWay('claude', '.claude/settings.json', {
      api: 'Messages',
      ask: (prompt, place) => plainClaude(['--', prompt], place),
      resume: (prompt, place) => plainClaude(['--continue', '--', prompt], place),
      tools: SHELL
    })
  ]
}

function resumeVerbosely(prompt: string, place: Place): Command {
  const format = ['--output-format', 'stream-json', '--verbose']
  return claude(['--continue', ...format, '--', prompt], place)
}

function claude(argv: readonly string[], place: Place): Command {
  const plain = plainClaude(['--model', place.model, ...argv], place)
  return {
    ...plain,
    env: {
      ...plain.env,
      ANTHROPIC_BASE_URL: place.url,
      ANTHROPIC_AUTH_TOKEN: place.key
    }
  }
}

/** It finds the gateway in its settings, if anywhere. */
function plainClaude(argv: readonly string[], place: Place): Command {
  const program = binaryOf(place, '@anthropic-ai/claude-code', 'claude')
  return {
    argv: [program, '-p', '--allowedTools', ALLOWED, ...argv],
    env: {
      DISABLE_ERROR_REPORTING: '1',
      DISABLE_AUTOUPDATER: '1',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1'
    }
  }
}
