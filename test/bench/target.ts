import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ProcessTree } from './process-tree.ts'

const Root = fileURLToPath(new URL('../..', import.meta.url))
const PatienceMs = 15_000
/** A machine that is busy starts slowly. */
const StartMs = 120_000

export interface TargetOptions {
  readonly upstreamUrl: string
  /** A folder that does not exist yet, for what it reads and writes. */
  readonly folder: string
  /** Program to run it with, instead of this Node. */
  readonly node?: string
  readonly env?: Readonly<Record<string, string>>
  /** A gateway's `src/start.js`, of another version or a package, instead of this one's. */
  readonly program?: string
  /** Text of a gateway's `.env`, which it reads again when it is told to. */
  readonly settings?: string
}

/** What stands between load generator and upstream, with the process tree that it runs in. */
export class Target {
  readonly url: string
  readonly tree: ProcessTree
  /** Where it runs; a gateway's STATE_DIR is `state` in it. */
  readonly folder: string
  readonly #child: ChildProcess

  constructor(child: ChildProcess, port: number, folder: string) {
    this.url = `http://127.0.0.1:${port}`
    this.tree = new ProcessTree(pidOf(child))
    this.folder = folder
    this.#child = child
  }

  /** Has a gateway read its settings again. */
  reload(): void {
    this.#child.kill('SIGHUP')
  }

  /** Ends all its processes: politely, then not. */
  async close(): Promise<void> {
    const pids = this.tree.pids()
    if (this.#child.exitCode !== null) throw new Error('a target ended before it was told to')
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    const timeout = new AbortController()
    const isOver = delay(PatienceMs, true, { signal: timeout.signal }).catch(() => false)
    if ((await Promise.race([exit, isOver])) === true) for (const pid of pids) killNow(pid)
    timeout.abort()
  }
}

/**
 * Starts the gateway as `npm start` does, with two workers, the memory of its container and an unexpired token.
 * Resolves once it serves.
 */
export async function startGateway(options: TargetOptions): Promise<Target> {
  const { folder, upstreamUrl, settings, program = `${Root}src/start.js` } = options
  mkdirSync(folder, { recursive: true })
  if (settings !== undefined) writeFileSync(join(folder, '.env'), settings)
  const credentials = join(folder, 'credentials.json')
  writeFileSync(credentials, JSON.stringify(signIn()), { mode: 0o600 })
  const { start } = readManifest().scripts
  const flags = start.split(' ').filter((word) => word.startsWith('--'))
  return launch(options, [...flags, program, '--port', '0'], {
    KIRO_CREDS_FILE: credentials,
    KIRO_API_URL: upstreamUrl,
    STATE_DIR: join(folder, 'state'),
    MEMORY_LIMIT: '512M',
    WORKERS: '2'
  })
}

/** See `pipe.ts`. */
export type PipeKind = 'bytes' | 'translating' | 'dutiful'

/** Starts what the gateway is compared with. Resolves once it listens. */
export async function startPipe(kind: PipeKind, options: TargetOptions): Promise<Target> {
  mkdirSync(options.folder, { recursive: true })
  const file = fileURLToPath(new URL('pipe.ts', import.meta.url))
  return launch(options, [file, kind, options.upstreamUrl], {})
}

/** Output goes to a file, so that nobody has to be scheduled to read it. */
async function launch(
  { folder, node, env }: TargetOptions,
  args: readonly string[],
  ownEnv: Readonly<Record<string, string>>
): Promise<Target> {
  const logFile = join(folder, 'output.log')
  const log = openSync(logFile, 'a')
  const child = spawn(node ?? process.execPath, args, {
    cwd: folder, // no other .env there
    env: { PATH: process.env['PATH'], HOME: folder, ...ownEnv, ...env },
    stdio: ['ignore', log, log]
  })
  const deadline = performance.now() + StartMs
  for (;;) {
    const output = readFileSync(logFile, 'utf8')
    const port = portIn(output)
    if (port !== null) return new Target(child, port, folder)
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`nothing came up:\n${output}`)
    }
    await delay(5)
  }
}

/** The gateway says where it listens in a log line; a pipe says nothing else. */
function portIn(output: string): number | null {
  const found = /"url":"http:[^"]*:(\d+)".*"gateway ready"|^(\d+)\n$/.exec(output)
  return found === null ? null : Number(found[1] ?? found[2])
}

/** An unexpired sign-in, as a credentials file has it. */
export function signIn(): object {
  return {
    accessToken: `bench-${'a'.repeat(600)}`,
    refreshToken: `bench-${'r'.repeat(300)}`,
    expiresAt: new Date(Date.now() + 6 * 3_600_000).toISOString(),
    authMethod: 'social',
    provider: 'Google',
    profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/ABCDEFGHIJKL',
    region: 'us-east-1'
  }
}

function readManifest(): { readonly scripts: { readonly start: string } } {
  return JSON.parse(readFileSync(`${Root}package.json`, 'utf8'))
}

function pidOf({ pid }: ChildProcess): number {
  if (pid === undefined) throw new Error('the process could not be started')
  return pid
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // gone already
  }
}
