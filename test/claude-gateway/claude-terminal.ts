import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Why the real client cannot be driven here; `false` if it can. */
export function whyNoTerminal(): string | false {
  return spawnSync('tmux', ['-V']).status === 0
    ? false
    : 'there is no tmux here: apt-get install tmux'
}

export interface ClaudeOptions {
  /** The program `claude`. */
  readonly program: string
  readonly argv?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** A home to go on with; by default an empty one. */
  readonly home?: string
}

const SCREEN = ['-x', '140', '-y', '50']
const LOOK_MS = 100
const PATIENCE_MS = 30_000
const MOST_MOVES = 10
const READING_MS = 1_500

/** Claude Code in a terminal of its own (tmux), with an empty home and no network but loopback. */
export class ClaudeTerminal implements Disposable {
  readonly home: string
  readonly project: string
  readonly #socket: string
  readonly #options: ClaudeOptions

  constructor(options: ClaudeOptions) {
    this.#options = options
    this.home = options.home ?? mkdtempSync(join(tmpdir(), 'claude-home-'))
    this.project = join(this.home, 'project')
    mkdirSync(this.project, { recursive: true })
    mkdirSync(join(this.home, 'tmp'), { recursive: true })
    this.#socket = join(this.home, 'tmux')
  }

  /** Starts the client; `type()` and `sees()` are for what it shows. */
  start(): void {
    const { program, argv = [], env = {} } = this.#options
    const variables = Object.entries({ ...this.#environment, ...env }).map(
      ([name, value]) => `${name}=${value}`
    )
    const command = ['env', '-i', ...variables, program, ...argv]
    const session = ['new-session', '-d', ...SCREEN, '-c', this.project]
    this.#tmux(['-f', '/dev/null', ...session, ...command])
  }

  get #environment(): Readonly<Record<string, string>> {
    return {
      PATH: [dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter),
      HOME: this.home,
      TMPDIR: join(this.home, 'tmp'),
      LANG: 'C.UTF-8',
      TERM: 'xterm-256color',
      BROWSER: 'true', // a person would be shown the page
      HTTPS_PROXY: 'http://127.0.0.1:9', // nobody listens there
      NO_PROXY: '127.0.0.1,localhost',
      DISABLE_AUTOUPDATER: '1',
      DISABLE_ERROR_REPORTING: '1',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1'
    }
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

  /** Confirms what a page says. Keys that come with the page are ignored. */
  async goOn(page: RegExp): Promise<void> {
    await this.sees(page)
    await delay(READING_MS)
    this.press('Enter')
  }

  /** Moves to a line of the list on the screen, and takes it. @throws {Error} if it is not in the list */
  async choose(wanted: RegExp): Promise<void> {
    for (let moves = 0; moves < MOST_MOVES; moves += 1) {
      const chosen = this.screen.split('\n').find((line) => line.includes('❯')) ?? ''
      if (wanted.test(chosen)) return this.press('Enter')
      this.press('Down')
      await delay(2 * LOOK_MS)
    }
    throw new Error(`${wanted} cannot be chosen:\n${this.screen}`)
  }

  /** Leaves a page of settings. What follows at once would be taken for a part of the key. */
  async leavePage(page: RegExp): Promise<void> {
    this.press('Escape')
    const until = performance.now() + PATIENCE_MS
    while (page.test(this.screen)) {
      if (performance.now() > until) throw new Error(`${page} stays on the screen:\n${this.screen}`)
      await delay(LOOK_MS)
    }
  }

  /** Sends a line as a person does, whose keys come one after the other. */
  async say(line: string): Promise<void> {
    this.type(line)
    await delay(300)
    this.press('Enter')
  }

  stop(): void {
    spawnSync('tmux', ['-S', this.#socket, 'kill-server'])
  }

  [Symbol.dispose](): void {
    this.stop()
    rmSync(this.home, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
  }

  #tmux(argv: readonly string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...argv], { encoding: 'utf8' })
  }
}
