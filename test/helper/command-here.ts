import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { runCommand, wantsJson } from '../../src/cli/program/cli.ts'
import { ProcessTerminal } from '../../src/cli/terminal.ts'
import { withoutEmpty } from '../../src/config/load.ts'
import type { CliOptions, CliOutcome } from './cli-process.ts'

// `homedir()` follows it: a sign-in of whoever runs the tests must be neither found nor used.
process.env['HOME'] = mkdtempSync(join(tmpdir(), 'kiro-gateway-home-'))

export interface CommandOptions extends Pick<CliOptions, 'cwd' | 'env'> {
  /** What was typed to call the program. */
  readonly program?: string
}

/**
 * Runs `kiro-gateway …` in this process, with nothing to read: that takes a fiftieth of the CPU time of a process. The working
 * folder is its home, and where a relative `STATE_DIR` is; no `.env` is read there.
 */
export async function runCommandHere(
  args: readonly string[],
  { cwd, env = {}, program = 'kiro-gateway' }: CommandOptions
): Promise<CliOutcome> {
  const streams = {
    stdin: new PassThrough().end(),
    stdout: new PassThrough(),
    stderr: new PassThrough()
  }
  const [stdout, stderr] = [text(streams.stdout), text(streams.stderr)]
  const { signal } = new AbortController()
  const isJson = wantsJson(args)
  using terminal = new ProcessTerminal(streams, signal, { program, isJson })
  const { STATE_DIR: stateDir } = env
  const place = { HOME: cwd, ...(stateDir !== undefined && { STATE_DIR: resolve(cwd, stateDir) }) }
  const settings = { env: withoutEmpty({ ...env, ...place }), warnings: [] }
  const code = await runCommand(args, {
    terminal,
    signal,
    readSettings: () => settings,
    program
  })
  streams.stdout.end()
  streams.stderr.end()
  return { code, stdout: await stdout, stderr: await stderr }
}
