import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.ts'

/** The engines that a fleet is tested with, as Debian calls them. */
export const ENGINE_PROGRAMS = ['valkey-server', 'redis-server'] as const
export type EngineProgram = (typeof ENGINE_PROGRAMS)[number]

/** What tests use that need only one: `TEST_ENGINE=redis-server npm test -- test/integration/fleet*.test.ts` has the other. */
export const TEST_ENGINE: EngineProgram =
  ENGINE_PROGRAMS.find((name) => name === process.env['TEST_ENGINE']) ?? 'valkey-server'

/**
 * Why tests with this engine are skipped; `false` where it is there. With ENGINES_REQUIRED=1 it must be: then a missing
 * one fails.
 */
export function whyNoEngine(program = TEST_ENGINE): string | false {
  if (process.env['ENGINES_REQUIRED'] === '1') return false
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' })
    return false
  } catch {
    return `${program} is not installed: apt-get install ${program}`
  }
}

/** A real engine on a free port of loopback, in a folder of its own. */
export class EngineProcess {
  readonly port: number
  readonly folder: string
  readonly #program: EngineProgram
  #config: readonly string[]
  #child: ChildProcess | null = null

  private constructor(program: EngineProgram, port: number, config: readonly string[]) {
    this.#program = program
    this.port = port
    this.#config = config
    this.folder = mkdtempSync(join(tmpdir(), 'fleet-engine-'))
  }

  /** `config`: lines of its configuration. */
  static async start(
    program: EngineProgram,
    config: readonly string[] = []
  ): Promise<EngineProcess> {
    const engine = new EngineProcess(program, await freePort(), config)
    await engine.start()
    return engine
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  async start(config = this.#config): Promise<void> {
    this.#config = config
    const path = join(this.folder, 'engine.conf')
    const lines = [
      'bind 127.0.0.1',
      `port ${this.port}`,
      `dir ${this.folder}`,
      'save ""',
      'daemonize no',
      ...config
    ]
    writeFileSync(path, `${lines.join('\n')}\n`)
    const child = spawn(this.#program, [path], { stdio: 'ignore' })
    this.#child = child
    await Promise.race([
      once(child, 'spawn'),
      once(child, 'error').then(([cause]) => Promise.reject(cause))
    ])
    for (let tries = 0; tries < 400; tries += 1) {
      if (await answers(this.port)) return
      if (child.exitCode !== null) throw new Error(`${this.#program} ended (${child.exitCode})`)
      await delay(25)
    }
    throw new Error(`${this.#program} does not answer`)
  }

  /** `SIGKILL` loses what is not on disk. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGCONT')
    child.kill(signal)
    await exited
  }

  /** Stands still, with its connections open, until `goOn()`. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  goOn(): void {
    this.#child?.kill('SIGCONT')
  }

  async destroy(): Promise<void> {
    await this.stop('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function answers(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
  socket.setTimeout(500, () => socket.destroy())
  socket
    .on('data', (chunk) => {
      resolve(/^(\+|-(?!LOADING)[A-Z]+ )/.test(chunk.toString())) // nobody else may have the port
      socket.destroy()
    })
    .on('error', () => {})
    .on('close', () => resolve(false))
  return promise
}
