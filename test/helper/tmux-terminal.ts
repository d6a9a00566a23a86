import { execFileSync, spawnSync } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'

/** Why no program can be driven in a terminal here; `false` if one can. With TMUX_REQUIRED=1 a missing tmux fails. */
export function whyNoTerminal(): string | false {
  if (process.env['TMUX_REQUIRED'] === '1') return false
  return spawnSync('tmux', ['-V']).status === 0
    ? false
    : 'there is no tmux here: apt-get install tmux'
}

export interface TerminalOptions {
  /** Path of the socket of its own tmux. */
  readonly socket: string
  /** Folder that the program starts in. */
  readonly folder: string
}

export interface TerminalProgram {
  readonly argv: readonly string[]
  /** All that the program has of an environment. */
  readonly env: Readonly<Record<string, string>>
}

const SCREEN = ['-x', '140', '-y', '50']
const LOOK_MS = 100
const PATIENCE_MS = 120_000
const TYPING_MS = 300

/** A program in a terminal of its own (tmux), with a person at its keys. */
export class TmuxTerminal {
  readonly #options: TerminalOptions

  constructor(options: TerminalOptions) {
    this.#options = options
  }

  /** Starts the program; `type()` and `sees()` are for what it shows. */
  run({ argv, env }: TerminalProgram): void {
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
    const session = ['new-session', '-d', ...SCREEN, '-c', this.#options.folder]
    const command = ['env', '-i', ...variables, ...argv]
    // The last words of a program that ends stay on the screen.
    this.#tmux(['-f', '/dev/null', ...session, ...command, ';', 'set', 'remain-on-exit', 'on'])
  }

  get screen(): string {
    return this.#tmux(['capture-pane', '-p', '-J'])
  }

  type(text: string): void {
    this.#tmux(['send-keys', '-l', text])
  }

  press(...keys: readonly string[]): void {
    this.#tmux(['send-keys', ...keys])
  }

  /** Waits for a text on the screen. @throws {Error} with the screen, after `patienceMs` */
  async sees(wanted: RegExp, patienceMs = PATIENCE_MS): Promise<RegExpExecArray> {
    const until = performance.now() + patienceMs
    for (;;) {
      const { screen } = this
      const found = wanted.exec(screen)
      if (found !== null) return found
      if (performance.now() > until) throw new Error(`${wanted} is not on the screen:\n${screen}`)
      await delay(LOOK_MS)
    }
  }

  /** Sends a line as a person does, whose keys come one after the other. */
  async say(line: string): Promise<void> {
    this.type(line)
    await delay(TYPING_MS)
    this.press('Enter')
  }

  stop(): void {
    spawnSync('tmux', ['-S', this.#options.socket, 'kill-server'])
  }

  #tmux(argv: readonly string[]): string {
    return execFileSync('tmux', ['-S', this.#options.socket, ...argv], { encoding: 'utf8' })
  }
}
