import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname } from 'node:path'
import type { Command, Place } from './client.ts'

export interface Outcome {
  /** `null` when it was ended because its time was over. */
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
  readonly seconds: number
}

/** Time between asking a program to end and ending it. */
const GRACE_MS = 2000
const WATCH_MS = 50

export interface RunOptions {
  readonly command: Command
  readonly place: Place
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** Runs a client in its own home and process group; whatever it started ends with it. */
export async function runCommand(options: RunOptions): Promise<Outcome> {
  const { command, place } = options
  const [program = '', ...argv] = command.argv
  const startedAt = performance.now()
  const child = spawn(program, argv, {
    cwd: place.project,
    env: { ...quietEnvironment(place), ...command.env },
    detached: true,
    stdio: 'pipe'
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => (output[name] += text))
  }
  child.stdin.on('error', () => {}) // a client that reads nothing may be gone already
  child.stdin.end(command.stdin ?? '')
  const exitCode = await exitOf(child, options)
  return { ...output, exitCode, seconds: (performance.now() - startedAt) / 1000 }
}

type Child = ReturnType<typeof spawn>

/** Waits for its end, interrupts it when its user would, and ends it when its time is over. */
async function exitOf(child: Child, options: RunOptions): Promise<number | null> {
  const { command, timeoutMs, signal } = options
  const patience = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const onOver = (): void => endGroup(child.pid)
  patience.addEventListener('abort', onOver)
  const watcher = setInterval(() => {
    if (command.interruptWhen === undefined || !existsSync(command.interruptWhen)) return
    clearInterval(watcher)
    killGroup(child.pid, 'SIGINT')
  }, WATCH_MS)
  try {
    const [code, name] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
    if (patience.aborted) return null
    return code ?? 128 + (name === null ? 0 : constants.signals[name]) // as a shell counts
  } finally {
    clearInterval(watcher)
    patience.removeEventListener('abort', onOver)
    killGroup(child.pid, 'SIGKILL') // programs that it left behind
  }
}

function endGroup(pid: number | undefined): void {
  killGroup(pid, 'SIGTERM')
  setTimeout(() => killGroup(pid, 'SIGKILL'), GRACE_MS).unref()
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // nobody of the group is left
  }
}

/** What a client sees: nothing of the user's environment, no network but loopback, no telemetry. */
export function quietEnvironment(place: Place): Record<string, string> {
  return {
    PATH: [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter),
    HOME: place.home,
    XDG_CONFIG_HOME: `${place.home}/.config`,
    XDG_DATA_HOME: `${place.home}/.local/share`,
    XDG_STATE_HOME: `${place.home}/.local/state`,
    XDG_CACHE_HOME: `${place.home}/.cache`,
    TMPDIR: `${place.home}/tmp`,
    LANG: 'C.UTF-8',
    TERM: 'dumb',
    NO_COLOR: '1',
    CI: '1',
    HTTPS_PROXY: 'http://127.0.0.1:9', // nobody listens there
    https_proxy: 'http://127.0.0.1:9',
    NO_PROXY: '127.0.0.1',
    no_proxy: '127.0.0.1',
    DO_NOT_TRACK: '1',
    DISABLE_TELEMETRY: '1'
  }
}
