import { createReadStream } from 'node:fs'
import { loadConfig } from '../../config/load.ts'
import { isDialectName } from '../../dialects/dialect.ts'
import { lintRequest, reportText } from '../../dialects/lint/lint-request.ts'
import { BUILT_IN_CATALOGUE } from '../../kiro/models/models.ts'
import { requestOptionsOf } from '../../server/turn/body.ts'
import { codeOf } from '../../shared/errors.ts'
import {
  type Command,
  type CommandCall,
  EXIT_OK,
  EXIT_USAGE,
  textOption,
  UsageError
} from '../command.ts'
import { readBytes } from '../../shared/read-bytes.ts'
import { DEFAULT_REQUESTS, probeRequest } from './probe.ts'

const EXIT_REFUSED = 1
const MAX_BYTES = 64 * 1024 * 1024

/** Explains a request like `POST /v1/lint`, without a gateway. */
export const lint: Command = {
  name: 'lint',
  summary: 'Checks a request against the rules of the upstream.',
  usage:
    'kiro-gateway lint [--json] [--dialect=NAME] FILE\nkiro-gateway lint --probe [--requests N] [--again] [--yes] [--json] FILE',
  options: {
    dialect: { type: 'string' },
    probe: { type: 'boolean' },
    requests: { type: 'string' },
    again: { type: 'boolean' },
    yes: { type: 'boolean', short: 'y' }
  },
  help: `Shows which upstream rules a request breaks, where, and what the gateway does about it.
FILE holds a request body; "-" reads it from standard input.

  --dialect=NAME     openai-chat, openai-responses or anthropic-messages; by default detected from the body.
  --probe            For a request that the upstream calls improperly formed: sends smaller and smaller parts of it with
                     the account of these settings, and names the smallest part that is refused. Costs credits. It
                     goes on where it was after Ctrl-C, and stops when the account must not ask on.
  --requests N       The most that --probe may send, ${DEFAULT_REQUESTS} by default.
  --again            Forgets what an earlier probe of the same request has found.
  --yes              Does not ask for confirmation first.`,
  exitCodes: [
    { code: EXIT_OK, meaning: 'the gateway accepts the request' },
    {
      code: EXIT_REFUSED,
      meaning:
        'the gateway refuses the request; with `--probe`, the upstream refuses it, or the probe has not ended'
    },
    { code: EXIT_USAGE, meaning: 'the request could not be checked' }
  ],
  async run(call) {
    const dialect = textOption(call, 'dialect') ?? undefined
    const [file, ...more] = call.positionals
    if (file === undefined || more.length > 0) throw new UsageError('expected one file')
    if (dialect !== undefined && !isDialectName(dialect)) {
      throw new UsageError(`unknown dialect "${dialect}"`)
    }
    const isProbe = call.values['probe'] === true
    for (const name of isProbe ? [] : ['requests', 'again', 'yes']) {
      if (call.values[name] !== undefined) throw new UsageError(`--${name} needs --probe`)
    }
    const body = await readBody(file)
    if (isProbe) return probeRequest(call, { bytes: body, dialect })
    const report = lintRequest(body, { dialect, request: requestOptions(call) })
    const text = call.isJson ? JSON.stringify(report, null, 2) : reportText(report)
    call.terminal.write(text.trimEnd())
    return report.ok ? EXIT_OK : EXIT_REFUSED
  }
}

async function readBody(file: string): Promise<Buffer> {
  const source = file === '-' ? process.stdin : createReadStream(file)
  const bytes = await readBytes(source, MAX_BYTES).catch((cause: unknown) => {
    const code = codeOf(cause)
    const why = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`
    throw new UsageError(`${file} ${why}`, { cause })
  })
  if (bytes === null) throw new UsageError(`a request has at most ${MAX_BYTES} bytes`)
  return bytes
}

/** From settings; only a running gateway knows the upstream's models. */
function requestOptions({ env }: CommandCall) {
  const loaded = loadConfig(env, [])
  if (loaded.name !== 'config') throw new Error('there are no settings')
  const { config } = loaded
  return requestOptionsOf({ current: { config }, models: { catalogue: BUILT_IN_CATALOGUE } }, null)
}
