import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { inspectConfig } from '../../config/load.ts'
import { readSettingsFile } from '../../config/load-process.ts'
import type { Config } from '../../config/settings.ts'
import { operatorError } from '../../shared/errors.ts'
import { type CommandCall, EXIT_FAILED, EXIT_OK } from '../command.ts'
import { gatewayUrl } from '../setup/gateway.ts'
import { readFacts } from './definition.ts'
import { verdictOf } from './health.ts'
import { lastRows } from './shown-log.ts'
import type { ServiceFacts, InitSystem, ServiceState } from './init-system.ts'

export interface InstalledService {
  readonly text: string
  /** `null` for a definition that was not made by this program. */
  readonly facts: ServiceFacts | null
}

export function readInstalled({ file }: InitSystem): InstalledService | null {
  if (!existsSync(file)) return null
  const text = readFileSync(file, 'utf8')
  return { text, facts: readFacts(text) }
}

/** @throws {GatewayError} GW_CONFIG_INVALID if it is not installed */
export function requireInstalled(manager: InitSystem): InstalledService {
  const found = readInstalled(manager)
  if (found !== null) return found
  throw operatorError(
    `The service is not installed (${manager.file} does not exist). Install it with: kiro-gateway service install`
  )
}

/** Reads the settings of the service; `null` if this user may not. */
export function settingsOfService(facts: ServiceFacts | null): Config | null {
  if (facts === null) return null
  const { envFile, folder } = facts
  try {
    const env = readSettingsFile(envFile ?? path.join(folder, '.env'), folder)
    return inspectConfig(env).config
  } catch {
    return null
  }
}

export async function showStatus(call: CommandCall, manager: InitSystem): Promise<number> {
  const { terminal, isJson, signal } = call
  const found = readInstalled(manager)
  if (found === null) {
    if (isJson) terminal.write(JSON.stringify({ state: 'not installed' }))
    else terminal.write('Not installed. Install it with: kiro-gateway service install')
    return EXIT_FAILED
  }
  const config = settingsOfService(found.facts)
  const [state, starts] = await Promise.all([manager.state(), manager.whenStarted()])
  const verdict =
    config === null || state.name !== 'running' ? null : await verdictOf(config, signal)
  const url = config === null || config.server.port === 0 ? null : gatewayUrl(null, config)
  const isRunning = state.name === 'running'
  const lastLines = isRunning || isJson ? [] : await lastRows(manager, LAST_ROWS)
  if (isJson) {
    const { facts } = found
    const { name, ...rest } = state
    const said = { state: name, ...rest, url, verdict: verdict?.text ?? null, starts, facts }
    terminal.write(JSON.stringify({ ...said, file: manager.file }))
    return isRunning ? EXIT_OK : EXIT_FAILED
  }
  const rows = [
    ['state', `${describe(state)}; ${manager.title}`],
    ['process', processText(state)],
    ['restarts', state.restarts === null ? null : String(state.restarts)],
    ['starts', starts],
    ['address', isRunning ? (url ?? 'not known: this user may not read its settings') : null],
    ['verdict', isRunning && url !== null ? (verdict?.text ?? 'it does not answer') : null],
    ['settings', found.facts === null ? null : settingsPath(found.facts)],
    ['program', found.facts?.entry ?? null],
    ['definition', manager.file]
  ] as const
  for (const [name, value] of rows) {
    if (value !== null) terminal.write(`${name.padEnd(12)}${value}`)
  }
  if (lastLines.length > 0) {
    terminal.write('Its last lines:')
    for (const row of lastLines) terminal.write(`  ${row}`)
  }
  return isRunning ? EXIT_OK : EXIT_FAILED
}

const LAST_ROWS = 8

export function settingsPath({ envFile, folder }: ServiceFacts): string {
  return envFile ?? path.join(folder, '.env')
}

export function describe({ name, lastExit, isCrashLoop }: ServiceState): string {
  const exit = lastExit === null ? '' : `, after ${lastExit}`
  if (name === 'failed' && isCrashLoop)
    return `failed: it ended too often, so it is no longer started${exit}`
  return name === 'failed' ? `failed${exit}` : name
}

function processText({ pid, since }: ServiceState): string | null {
  if (pid === null) return null
  if (since === null) return String(pid)
  const seconds = Math.max(0, Math.round((Date.now() - since.getTime()) / 1000))
  return `${pid}, since ${since.toISOString().slice(0, 19)}Z (${duration(seconds)})`
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.round(minutes / 60)
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`
}
