import { userInfo } from 'node:os'
import path from 'node:path'
import { operatorError } from '../../shared/errors.ts'
import { launchAgent } from './definition.ts'
import { followLogFile, lastLinesOf, LOG_FILE } from './log-file.ts'
import type { Programs } from './programs.ts'
import { programStep, removalStep } from './steps.ts'
import type {
  LineReader,
  LogQuery,
  ServiceFacts,
  InitSystem,
  ServiceState,
  ServiceStep
} from './init-system.ts'

const LABEL = 'io.github.kiro-gateway'

export interface LaunchdOptions {
  readonly programs: Programs
  readonly home: string
}

/** An agent of the user on macOS: it runs while the user is signed in. */
export class Launchd implements InitSystem {
  readonly title = 'a launchd agent'
  readonly isSystem = false
  readonly file: string
  readonly #programs: Programs
  readonly #log: string
  readonly #domain = `gui/${userInfo().uid}`

  constructor({ programs, home }: LaunchdOptions) {
    this.#programs = programs
    this.file = path.join(home, 'Library/LaunchAgents', `${LABEL}.plist`)
    this.#log = path.join(home, LOG_FILE)
  }

  define(facts: ServiceFacts): string {
    return launchAgent(facts, LABEL)
  }

  async preparing(): Promise<readonly ServiceStep[]> {
    return []
  }

  /** launchd keeps the definition that it was given: a changed one is given anew. */
  async enabling(): Promise<readonly ServiceStep[]> {
    const isLoaded = (await this.#print()) !== null
    return [
      ...(isLoaded ? [this.#step('bootout', this.#target)] : []),
      this.#step('enable', this.#target),
      this.#step('bootstrap', this.#domain, this.file)
    ]
  }

  async removing(): Promise<readonly ServiceStep[]> {
    const isLoaded = (await this.#print()) !== null
    return [...(isLoaded ? [this.#step('bootout', this.#target)] : []), removalStep(this.file)]
  }

  async start(): Promise<void> {
    if ((await this.#print()) === null)
      await this.#programs.require('launchctl', 'bootstrap', this.#domain, this.file)
    await this.#programs.require('launchctl', 'kickstart', this.#target)
  }

  async restart(): Promise<void> {
    await this.#programs.require('launchctl', 'kickstart', '-k', this.#target)
  }

  async stop(): Promise<void> {
    await this.#signalTo('SIGTERM')
  }

  async reload(): Promise<void> {
    await this.#signalTo('SIGHUP')
  }

  async state(): Promise<ServiceState> {
    const printed = await this.#print()
    const pid = Number(valueIn(printed, 'pid') ?? 0)
    const exit = valueIn(printed, 'last exit code')
    return {
      name: pid > 0 ? 'running' : 'stopped',
      pid: pid > 0 ? pid : null,
      since: pid > 0 ? await this.#startOf(pid) : null,
      restarts: null,
      lastExit: exit === null || exit.startsWith('(') ? null : `exit code ${exit}`,
      isCrashLoop: false
    }
  }

  async isLingering(): Promise<boolean> {
    return false // an agent ends with its user's session
  }

  async whenStarted(): Promise<string> {
    return 'when you sign in to this Mac, and ends when you sign out'
  }

  lastLines(count: number): Promise<readonly string[]> {
    return lastLinesOf(this.#log, count)
  }

  logs(query: LogQuery, reader: LineReader): Promise<void> {
    return followLogFile(this.#log, query, reader)
  }

  get #target(): string {
    return `${this.#domain}/${LABEL}`
  }

  /** `null` if launchd does not know it. */
  async #print(): Promise<string | null> {
    const { code, stdout } = await this.#programs.run('launchctl', 'print', this.#target)
    return code === 0 ? stdout : null
  }

  async #startOf(pid: number): Promise<Date | null> {
    const { stdout } = await this.#programs.run('ps', '-o', 'lstart=', '-p', String(pid))
    const at = Date.parse(`${stdout.trim()} UTC`)
    return Number.isFinite(at) ? new Date(at) : null
  }

  async #signalTo(signal: string): Promise<void> {
    const { pid } = await this.state()
    if (pid === null) throw operatorError('The service does not run.')
    await this.#programs.require('launchctl', 'kill', signal, this.#target)
  }

  #step(...words: readonly string[]): ServiceStep {
    return programStep(this.#programs, 'launchctl', ...words)
  }
}

/** Reads `	pid = 123` of `launchctl print`, which has more of the same name further in. */
function valueIn(printed: string | null, name: string): string | null {
  const line = printed?.split('\n').find((one) => one.startsWith(`\t${name} = `))
  return line?.slice(name.length + 4).trim() ?? null
}
