import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { bundledProgram } from './program.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

interface Teardowns {
  teardown(close: () => unknown): void
}

/** Where a gateway shows its log; `{folder}` in a command is its working folder. */
export interface ShownGatewayOptions {
  readonly place: 'terminal' | 'pipe'
  readonly env?: Readonly<Record<string, string>>
  /** What the shell runs; by default the gateway in its place. */
  readonly command?: string
}

/** A gateway in a terminal of its own, or on a pipe, and what stands there. */
export class ShownGateway {
  /** script(1), which has the other end of the terminal, or the shell. */
  readonly child: ChildProcess
  readonly folder = mkdtempSync(join(tmpdir(), 'shown-gateway-'))
  output = ''
  url = ''

  constructor(options: ShownGatewayOptions) {
    const { entry, compiled } = bundledProgram()
    const { place, env = {}, command = `exec ${process.execPath} ${entry}` } = options
    writeFileSync(join(this.folder, '.env'), '')
    const shell = `echo $$ > ${this.folder}/pid; ${command}`
    const [program, ...args] =
      place === 'terminal' ? ['script', '-qfec', shell, '/dev/null'] : ['sh', '-c', shell]
    this.child = spawn(program, args, {
      cwd: ROOT, // where npm finds its scripts
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: this.folder,
        SHELL: '/bin/sh',
        TERM: 'xterm',
        SERVER_PORT: '0',
        ENV_FILE: join(this.folder, '.env'),
        STATE_DIR: join(this.folder, 'state'),
        NODE_COMPILE_CACHE: compiled,
        ...env
      },
      stdio: ['pipe', 'pipe', 'pipe']
    })
    this.child.stdin?.on('error', () => {}) // it has ended
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text
      })
    }
  }

  static async start(t: Teardowns, options: ShownGatewayOptions): Promise<ShownGateway> {
    const gateway = new ShownGateway({ ...options, env: { WORKERS: '2', ...options.env } })
    t.teardown(() => gateway.stop())
    const [url = ''] = await gateway.shows(
      /http:\/\/127[\d.]+:\d+(?=.*"gateway ready")|(?<= ready at )http:\S+(?=[^]*Anthropic base URL [^\n]*\n)/
    )
    gateway.url = url
    return gateway
  }

  /** Without its colours. */
  get text(): string {
    return stripVTControlCharacters(this.output)
  }

  /** The process that the shell became: the gateway itself, if no command was given. */
  get pid(): number {
    return Number(readFileSync(join(this.folder, 'pid'), 'utf8'))
  }

  async shows(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.text)
      if (found !== null) return found
      if (this.child.exitCode !== null) throw new Error(`it has ended: ${this.output}`)
      await delay(20)
    }
  }

  /** Presses Ctrl-C: the whole foreground group of the terminal gets SIGINT. */
  interrupt(): void {
    this.child.stdin?.write('\u0003')
  }

  /** Closes the terminal as a window is closed. */
  closeTerminal(): void {
    this.child.kill('SIGKILL')
  }

  async stop(): Promise<void> {
    this.child.stdout?.resume()
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exited = once(this.child, 'exit')
      process.kill(this.pid, 'SIGTERM')
      await exited
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 })
  }
}

/** For tests that need terminals: Debian has script(1) in every installation. */
export const inTerminal = {
  skip: spawnSync('script', ['--version']).status === 0 ? false : 'there is no script(1)'
}
