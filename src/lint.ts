import { createReadStream } from 'node:fs'
import { parseArgs } from 'node:util'
import { loadProcessConfig } from './config/load-process.ts'
import { isDialectName } from './dialects/dialect.ts'
import { lintRequest, reportText } from './dialects/lint/lint-request.ts'
import { BUILT_IN_CATALOGUE } from './kiro/models/models.ts'
import { requestOptionsOf } from './server/turn/body.ts'

/*
 * `kiro-gateway lint FILE`: explains a request as POST /v1/lint does, with the settings of this folder and without a
 * gateway. Exit codes: 0 the gateway takes the request, 1 it refuses it, 2 nothing could be looked at.
 */

const EXIT_REFUSED = 1
const EXIT_USAGE = 2
/** Twice the default of `MAX_BODY_BYTES`. */
const MAX_BYTES = 64 * 1024 * 1024
const USAGE = `Usage: kiro-gateway lint [--json] [--dialect=NAME] FILE

Says which rules of the upstream a request breaks, where, and what the gateway does about it.
FILE holds the body of a request; "-" reads it from standard input.

  --json             Prints the report as JSON.
  --dialect=NAME     openai-chat, openai-responses or anthropic-messages; without, the body's shape tells.
`

process.exitCode = await run(process.argv.slice(3))

async function run(argv: readonly string[]): Promise<number> {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        json: { type: 'boolean' },
        dialect: { type: 'string' },
        help: { type: 'boolean', short: 'h' }
      }
    })
    const { dialect } = values
    const [file, ...more] = positionals
    if (values.help === true) return print(USAGE, 0)
    if (file === undefined || more.length > 0) throw new Error('one file is needed')
    if (dialect !== undefined && !isDialectName(dialect)) {
      throw new Error(`there is no dialect "${dialect}"`)
    }
    const body = await readBody(file === '-' ? process.stdin : createReadStream(file))
    const report = lintRequest(body, { dialect, request: readOptions() })
    const text = values.json === true ? `${JSON.stringify(report, null, 2)}\n` : reportText(report)
    return print(text, report.ok ? 0 : EXIT_REFUSED)
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    process.stderr.write(`kiro-gateway lint: ${problem}\n\n${USAGE}`)
    return EXIT_USAGE
  }
}

async function readBody(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of source) {
    bytes += chunk.byteLength
    if (bytes > MAX_BYTES) throw new Error(`a request has at most ${MAX_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** What the settings say; the upstream's own list of models is known to a running gateway only. */
function readOptions() {
  const loaded = loadProcessConfig([], '.env')
  if (loaded.name !== 'config') throw new Error('there are no settings')
  const { config } = loaded
  return requestOptionsOf({ config: () => config, catalogue: () => BUILT_IN_CATALOGUE })
}

function print(text: string, exitCode: number): number {
  process.stdout.write(text)
  return exitCode
}
