import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Simulator } from '../strict-simulator/simulator.ts'
import type { GatewayProcess, LogLine } from '../helper/gateway-process.ts'
import type { Command, Place, Way } from './client.ts'
import { endLeftovers } from './leftovers.ts'
import { type Outcome, runCommand } from './run-command.ts'
import type { Session, Trial } from './trial.ts'

/** Longest time that one command of a client may take: OpenClaw needs a minute to start on a busy machine. */
const COMMAND_TIMEOUT_MS = 400_000

export interface RecordedSessionOptions {
  readonly way: Way
  readonly place: Place
  readonly gateway: GatewayProcess
  /** The gateway's upstream. */
  readonly simulator: Pick<Simulator, 'stats'>
  readonly signal: AbortSignal
}

/** A client that is set up and remembers what it was asked, what it said, and what the gateway logged meanwhile. */
export class RecordedSession implements Session {
  readonly way: Way
  readonly place: Place
  readonly #gateway: GatewayProcess
  readonly #signal: AbortSignal
  readonly #simulator: Pick<Simulator, 'stats'>
  readonly #firstLine: number
  readonly #firstCall: number
  /** What a trial had to say, other than what went wrong. */
  noted: string | null = null
  readonly #runs: { readonly command: Command; readonly outcome: Outcome }[] = []

  constructor({ way, place, gateway, simulator, signal }: RecordedSessionOptions) {
    this.way = way
    this.place = place
    this.#gateway = gateway
    this.#signal = signal
    this.#simulator = simulator
    this.#firstLine = gateway.lines.length
    this.#firstCall = generationsOf(simulator)
  }

  /** Tries something; resolves with what went wrong, or `null`, when nothing of the client runs any more. */
  async attempt(trial: Trial): Promise<string | null> {
    try {
      return await trial.attempt(this)
    } catch (error) {
      return String(error)
    } finally {
      endLeftovers(this.place.home)
    }
  }

  /**
   * Sets the client up for `place`, which may be another one than its own, and runs the command. A client that cannot be
   * set up is not asked.
   */
  async run(command: Command, place = this.place): Promise<Outcome> {
    for (const [path, text] of Object.entries(this.way.files?.(place) ?? {})) {
      const file = join(place.home, path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, text)
    }
    for (const step of this.way.setUp?.(place) ?? []) {
      const outcome = await this.#run(step, place)
      if (outcome.exitCode !== 0) return outcome
    }
    return this.#run(command, place)
  }

  logged(): readonly LogLine[] {
    return this.#gateway.lines.slice(this.#firstLine)
  }

  /** How many of the client's requests the gateway has ended since the session began. */
  requests(): number {
    return this.logged().filter(({ event }) => event === 'request.completed').length
  }

  upstreamCalls(): number {
    return generationsOf(this.#simulator) - this.#firstCall
  }

  note(text: string): void {
    this.noted = text
  }

  forgive(): Promise<void> {
    return this.#gateway.reload({})
  }

  /** Writes down all that is known; resolves with the file's path. */
  writeLog(): string {
    const file = join(dirname(this.place.home), 'log.txt')
    const runs = this.#runs.map(({ command, outcome }) =>
      [
        `$ ${command.argv.join(' ')}`,
        `exit code ${outcome.exitCode}, ${outcome.seconds.toFixed(1)} s`,
        `--- stdout\n${outcome.stdout}`,
        `--- stderr\n${outcome.stderr}`
      ].join('\n')
    )
    const lines = this.logged().map((line) => JSON.stringify(line))
    writeFileSync(file, [...runs, '--- gateway', ...lines, ''].join('\n'))
    return file
  }

  async #run(command: Command, place: Place): Promise<Outcome> {
    const outcome = await runCommand({
      command,
      place,
      timeoutMs: COMMAND_TIMEOUT_MS,
      signal: this.#signal
    })
    this.#runs.push({ command, outcome })
    return outcome
  }
}

function generationsOf(simulator: Pick<Simulator, 'stats'>): number {
  return simulator.stats().requests.byOperation['generateAssistantResponse'] ?? 0
}
