import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { NOBODY, ownersIn } from './own-words.ts'
import { bundledProgram, SOURCE_PROGRAM } from './program.ts'

/** Those of `npm start`. */
const START_FLAGS = ['--max-old-space-size=48', '--max-semi-space-size=2']
/** Memory that nobody has written is recognised wherever it is handed out. */
const FILLS_MEMORY = `--import=${new URL('unwritten-memory.ts', import.meta.url).href}`

export type LogLine = Readonly<Record<string, unknown>>

export interface GatewayOptions {
  /** Settings; the environment of the test is not passed on. */
  readonly env?: Readonly<Record<string, string>>
  /** Base URL of the upstream; without one the gateway runs its own simulator. */
  readonly upstreamUrl?: string
  /** What `.env` says at the start; `reload` changes it. */
  readonly envFile?: Readonly<Record<string, string>>
  /** How long the credential's first token lasts. */
  readonly tokenLifeMs?: number
  /** Program and arguments that start it, where it is not started directly. */
  readonly launcher?: readonly string[]
  /** Which log lines are kept; by default all. */
  readonly keeps?: (line: LogLine) => boolean
  /** Another program than this project's, which is started by its name alone. */
  readonly program?: string
  /** What its output is: a socket, as of a service manager, or a pipe, as in a container. */
  readonly output?: 'socket' | 'pipe'
  /** Starts the sources, one module at a time, instead of their bundle. */
  readonly fromSources?: boolean
  /** For figures: from the sources, as in a clone, and memory is left as it is (`unwritten-memory.ts`). */
  readonly isMeasured?: boolean
}

/** The real process tree of a gateway, in a folder of its own, on a free port of loopback. */
export class GatewayProcess {
  readonly child: ChildProcess
  /** Where its log lines come from; while it is paused nobody reads them. */
  readonly output: Readable
  readonly lines: LogLine[] = []
  /** Whatever was written to stderr. */
  stderr = ''
  url = ''
  /** Its working folder and its home. */
  readonly folder: string
  readonly #watchers = new Set<() => void>()
  /** Log lines with words of nobody. */
  readonly #nobodys: string[] = []
  readonly exited: Promise<number | null>

  constructor(options: GatewayOptions) {
    const { env = {}, upstreamUrl, envFile, tokenLifeMs = 3_600_000, keeps = () => true } = options
    const { program, launcher = [], isMeasured = false, fromSources = isMeasured } = options
    const { entry, compiled } = fromSources ? SOURCE_PROGRAM : bundledProgram()
    const own = [process.execPath, ...START_FLAGS, entry]
    const command = [...launcher, ...(program === undefined ? own : [program])]
    this.folder = mkdtempSync(join(tmpdir(), 'gateway-test-'))
    const pipe = options.output === 'pipe' ? makePipe(this.folder) : null
    if (envFile !== undefined) this.writeEnvFile(envFile)
    this.child = spawn(command[0] ?? '', command.slice(1), {
      cwd: this.folder,
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: this.folder,
        SERVER_PORT: '0',
        NODE_COMPILE_CACHE: compiled,
        ...(upstreamUrl === undefined ? {} : this.#upstream(upstreamUrl, tokenLifeMs)),
        ...env,
        ...(!isMeasured && {
          NODE_OPTIONS: `${env['NODE_OPTIONS'] ?? ''} ${FILLS_MEMORY}`
        })
      },
      stdio: ['ignore', pipe?.writer ?? 'pipe', 'pipe']
    })
    if (pipe !== null) closeSync(pipe.writer)
    this.exited = once(this.child, 'close').then(([code]) => code as number | null)
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString()
    })
    const output = pipe?.reader ?? this.child.stdout
    if (output === null) throw new Error('no stdout')
    this.output = output
    createInterface({ input: output }).on('line', (line) => {
      if (isNobodys(line)) this.#nobodys.push(line)
      const logged = toLogLine(line)
      if (keeps(logged)) this.lines.push(logged)
      for (const check of this.#watchers) check()
    })
  }

  /** Resolves when it serves; fails when it ends instead. */
  async ready(): Promise<this> {
    const line = await this.logged((one) => one['msg'] === 'gateway ready')
    this.url = String(line['url'])
    return this
  }

  /** The first log line, past or future, that fits; of those from `from` on. */
  async logged(fits: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    const { promise, resolve } = Promise.withResolvers<LogLine>()
    let next = from
    const check = (): void => {
      const found = this.lines.slice(next).find(fits)
      next = this.lines.length
      if (found !== undefined) resolve(found)
    }
    this.#watchers.add(check)
    check()
    const ended = this.exited.then((code) => {
      throw new Error(`the gateway ended (${code}) before it logged that:\n${this.stderr}`)
    })
    try {
      return await Promise.race([promise, ended])
    } finally {
      this.#watchers.delete(check)
      ended.catch(() => {})
    }
  }

  /** Process ids of the workers that are ready, newest last. */
  workerPids(): readonly number[] {
    const ready = new Map<unknown, number>()
    for (const line of this.lines) {
      if (line['msg'] === 'worker changed state' && line['state'] === 'ready')
        ready.set(line['workerId'], Number(line['workerPid']))
      if (line['msg'] === 'worker died') ready.delete(line['workerId'])
    }
    return [...ready.values()]
  }

  /** Changes `.env` and resolves when it has been read again. */
  async reload(envFile: Readonly<Record<string, string>>): Promise<void> {
    const before = this.lines.length
    this.writeEnvFile(envFile)
    this.child.kill('SIGHUP')
    await this.logged((line) => line['msg'] === 'settings reloaded', before)
  }

  /** Ends it with SIGTERM and resolves with its exit code. */
  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM')
    const code = await this.exited
    await this.#clear()
    return code
  }

  /** Ends it with a second SIGTERM, which counts half a second after the first, and resolves with its exit code. */
  async endNow(): Promise<number | null> {
    const again = setInterval(() => this.child.kill('SIGTERM'), SECOND_SIGNAL_MS)
    this.child.kill('SIGTERM')
    const code = await this.exited
    clearInterval(again)
    return code
  }

  /** For teardowns: ends it at once if it still runs. */
  async destroy(): Promise<void> {
    await this.endNow()
    await this.#clear()
  }

  /** Its folder can go when no worker writes into it any more: one that has lost its primary may take a moment. */
  async #clear(): Promise<void> {
    const deadline = performance.now() + ORPHANS_MS
    while (this.workerPids().some(isRunning) && performance.now() < deadline) await delay(10)
    const handedOut = [...this.#nobodys, this.stderr, ...filesIn(this.folder)].filter(isNobodys)
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
    if (handedOut.length > 0)
      throw new Error(`memory was handed out that was not written:\n${handedOut.join('\n')}`)
  }

  /** Changes `.env` and tells nobody. */
  writeEnvFile(values: Readonly<Record<string, string>>): void {
    const lines = Object.entries(values).map(([name, value]) => `${name}=${value}\n`)
    writeFileSync(join(this.folder, '.env'), lines.join(''))
  }

  #upstream(url: string, tokenLifeMs: number): Record<string, string> {
    const file = join(this.folder, 'kiro-auth-token.json')
    writeFileSync(
      file,
      JSON.stringify({
        accessToken: 'test-access-token',
        refreshToken: 'test-refresh-token',
        expiresAt: new Date(Date.now() + tokenLifeMs).toISOString(),
        profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/TEST',
        region: 'us-east-1',
        authMethod: 'social',
        provider: 'Github'
      })
    )
    return { KIRO_CREDS_FILE: file, KIRO_API_URL: url }
  }
}

/** Starts a gateway and waits until it serves. */
export function startGateway(options: GatewayOptions = {}): Promise<GatewayProcess> {
  return new GatewayProcess(options).ready()
}

const SECOND_SIGNAL_MS = 550
/** Longer than any worker takes that has lost its primary. */
const ORPHANS_MS = 10_000

function isNobodys(text: string): boolean {
  return ownersIn(text).has(NOBODY)
}

/** What is in the files of a folder, and of those in it; nothing where it is gone. */
function filesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => readFileSync(join(parentPath, name), 'latin1'))
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** A pipe of the kernel; what Node calls so are sockets. */
function makePipe(folder: string): { readonly reader: Socket; readonly writer: number } {
  const path = join(folder, 'output')
  execFileSync('mkfifo', [path])
  const { O_RDONLY, O_NONBLOCK } = constants
  const reader = new Socket({ fd: openSync(path, O_RDONLY | O_NONBLOCK), writable: false })
  return { reader, writer: openSync(path, 'w') }
}

function toLogLine(line: string): LogLine {
  const parsed: unknown = JSON.parse(line)
  if (typeof parsed !== 'object' || parsed === null) throw new Error(`no log line: ${line}`)
  // Strict parsers refuse a line that has a member twice.
  if (JSON.stringify(parsed).length !== line.length) throw new Error(`a member twice: ${line}`)
  return { ...parsed }
}
