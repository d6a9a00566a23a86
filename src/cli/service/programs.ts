import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { childEnvironment } from '../../config/load-process.ts'
import type { LineReader } from './init-system.ts'
import { operatorError } from '../../shared/errors.ts'

export interface Ended {
  /** 127: the program is not on this machine. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A stop waits for the last streams. */
const LONGEST_MS = 90_000
const NOT_FOUND = 127

/** Calls programs of the system, in English. Times are in UTC, but for those that a person asks for. */
export class Programs {
  readonly #environment: Readonly<Record<string, string>>
  readonly #signal: AbortSignal

  constructor(environment: Readonly<Record<string, string>>, signal: AbortSignal) {
    this.#environment = environment
    this.#signal = signal
  }

  async run(program: string, ...args: readonly string[]): Promise<Ended> {
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(LONGEST_MS)])
    const child = spawn(program, args, {
      env: { ...this.#env(), TZ: 'UTC' },
      stdio: ['ignore', 'pipe', 'pipe'],
      signal
    })
    const [stdout, stderr] = [text(child.stdout), text(child.stderr)]
    try {
      const [code] = await once(child, 'close')
      return { code: code ?? 1, stdout: await stdout, stderr: await stderr }
    } catch (cause) {
      this.#signal.throwIfAborted()
      const isThere = !(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')
      const reason = isThere ? `${program} has not ended within ${LONGEST_MS / 1000} s.` : ''
      return { code: isThere ? 1 : NOT_FOUND, stdout: '', stderr: reason }
    }
  }

  /** @throws {GatewayError} GW_CONFIG_INVALID if it fails, in its words */
  async require(program: string, ...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(program, ...args)
    if (code === 0) return stdout
    const said =
      code === NOT_FOUND ? 'it is not installed' : stderr.trim() || `it ended with ${code}`
    throw operatorError(`${[program, ...args].join(' ')}: ${said}`)
  }

  /** Passes on each line that it prints; resolves at its end, or when the signal aborts. */
  async follow(
    [program, ...args]: readonly [string, ...string[]],
    { onLine, isCopied, signal }: LineReader
  ): Promise<void> {
    const stdio = ['ignore', isCopied ? 'inherit' : 'pipe', 'inherit'] as const
    const child = spawn(program, args, { env: this.#env(), stdio: [...stdio] })
    const stop = (): void => void child.kill()
    signal.addEventListener('abort', stop)
    try {
      if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', onLine)
      await once(child, 'close')
    } catch (cause) {
      throw operatorError(`${program} cannot be run: ${String(cause)}`, cause)
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  #env(): NodeJS.ProcessEnv {
    return { ...childEnvironment(), ...this.#environment, LC_ALL: 'C' }
  }
}
