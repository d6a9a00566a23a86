import { randomBytes } from 'node:crypto'
import { readFile, realpath, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { parse } from 'dotenv'
import { codeOf, GatewayError, operatorError } from '../../shared/errors.ts'
import { replaceFile } from '../../shared/private-files.ts'
import { RELOAD, SET_UP_AGAIN } from '../../keys/advice.ts'
import { type CommandCall, EXIT_OK } from '../command.ts'

const SETTING = 'PROXY_API_KEY'
const MAX_ENV_BYTES = 1024 * 1024
/** The file holds secrets: doctor warns of any other reader. */
const PRIVATE = 0o600

export async function makeOperatorKey(call: CommandCall): Promise<number> {
  // Secret scanners know this prefix, and so does our log.
  const made = `sk-${randomBytes(32).toString('base64url')}`
  const written = call.values['write'] === true ? await addToEnvFile(made, call) : null
  const path = written?.path ?? null
  if (call.isJson) call.terminal.write(JSON.stringify({ key: made, path }))
  else call.terminal.write(made)
  if (path === null && !call.isJson)
    call.terminal.note(`Set it as ${SETTING} in .env; "kiro-gateway key new --write" does both.`)
  if (written !== null) {
    call.terminal.note(`Added to ${written.path}${closedText(written)}. ${RELOAD}`)
    call.terminal.note(SET_UP_AGAIN)
  }
  return EXIT_OK
}

function closedText({ mode }: FoundEnvFile): string {
  const isClosed = mode === null || mode === PRIVATE
  return isClosed ? '' : `, which only you can read now (mode 600; it was ${mode.toString(8)})`
}

/** @throws {GatewayError} GW_CONFIG_INVALID if no line can be added safely. */
async function addToEnvFile(made: string, { env, terminal }: CommandCall): Promise<FoundEnvFile> {
  const name = resolve(env['ENV_FILE'] ?? '.env')
  const found = await readEnvFile(name)
  const { path, text } = found
  const eol = text.includes('\r\n') ? '\r\n' : '\n'
  const before = text === '' || text.endsWith('\n') ? text : `${text}${eol}`
  const after = `${before}${SETTING}=${made}${eol}`
  if ((parse(text)[SETTING] ?? '') !== '') {
    throw refused(path, `already has a ${SETTING}. It may hold several keys, separated by commas.`)
  }
  try {
    await replaceFile(path, { text: after, mode: PRIVATE, isDurable: true })
  } catch (cause) {
    throw refused(path, `cannot be written (${codeOf(cause)}).`, cause)
  }
  if (env[SETTING] !== undefined) terminal.note(`${SETTING} in the environment overrides the file.`)
  return found
}

interface FoundEnvFile {
  readonly path: string
  readonly text: string
  /** Permission bits; `null` for a missing file. */
  readonly mode: number | null
}

/** A missing file counts as empty and private. */
async function readEnvFile(name: string): Promise<FoundEnvFile> {
  try {
    const path = await realpath(name)
    const { mode, uid, size } = await stat(path)
    if (process.geteuid !== undefined && uid !== process.geteuid()) {
      throw refused(path, 'belongs to another user.')
    }
    if (size > MAX_ENV_BYTES) throw refused(path, 'is too large for a settings file.')
    const text = await readFile(path, 'utf8')
    if (text.includes('\ufffd')) throw refused(path, 'is not UTF-8 text.') // would not be the same when written
    return { path, text, mode: mode & 0o777 }
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause
    if (codeOf(cause) === 'ENOENT') return { path: name, text: '', mode: null }
    throw refused(name, `cannot be read (${codeOf(cause)}).`, cause)
  }
}

function refused(path: string, problem: string, cause?: unknown): GatewayError {
  return operatorError(`${path} ${problem} Nothing was changed; add the key yourself.`, cause)
}
