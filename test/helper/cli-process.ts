import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { programForCommands } from './program.ts'

export interface CliOptions {
  /** The working folder. */
  readonly cwd: string
  /** All of it but PATH; HOME is the working folder. */
  readonly env?: Readonly<Record<string, string>>
  /** Another program than this project's. */
  readonly entry?: string
  /** Program and arguments that start it, where it is not started directly. */
  readonly launcher?: readonly string[]
  /** All of standard input; without, it stays open until `end()`. */
  readonly input?: string
}

export interface CliOutcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** One run of `kiro-gateway …` as a real process. */
export class CliProcess {
  readonly child: ChildProcessWithoutNullStreams
  readonly ended: Promise<CliOutcome>
  #stdout = ''
  #stderr = ''
  readonly #watchers = new Set<() => void>()

  constructor(args: readonly string[], options: CliOptions) {
    const program = programForCommands()
    const { cwd, env = {}, entry = program.entry, launcher = [], input } = options
    const [command = '', ...rest] = [...launcher, process.execPath, entry, ...args]
    this.child = spawn(command, rest, {
      cwd,
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: cwd,
        NODE_COMPILE_CACHE: program.compiled,
        ...env
      }
    })
    if (input !== undefined) this.child.stdin.end(input)
    this.child.stdin.on('error', () => {}) // it may have ended without reading
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.#stdout += `${line}\n`
      for (const check of this.#watchers) check()
    })
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
      for (const check of this.#watchers) check()
    })
    this.ended = once(this.child, 'close').then(([code]) => ({
      code: code as number | null,
      stdout: this.#stdout,
      stderr: this.#stderr
    }))
  }

  /** What a pattern finds first in standard output or standard error, now or later; fails when the process ends without. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const { promise, resolve } = Promise.withResolvers<RegExpExecArray>()
    const check = (): void => {
      const found = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr)
      if (found !== null) resolve(found)
    }
    this.#watchers.add(check)
    check()
    const ended = this.ended.then(({ code, stdout, stderr }) => {
      check()
      throw new Error(`ended (${code}) and never said ${pattern}:\n${stdout}${stderr}`)
    })
    try {
      return await Promise.race([promise, ended])
    } finally {
      this.#watchers.delete(check)
      ended.catch(() => {})
    }
  }

  /** Writes a line to standard input. */
  type(line: string): void {
    this.child.stdin.write(`${line}\n`)
  }

  /** For teardowns. */
  async destroy(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }
}

/** Runs it to its end, with nothing to read. */
export function runKiroGateway(args: readonly string[], options: CliOptions): Promise<CliOutcome> {
  return new CliProcess(args, { input: '', ...options }).ended
}
