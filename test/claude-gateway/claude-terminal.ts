import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { TmuxTerminal } from '../helper/tmux-terminal.ts'

export interface ClaudeOptions {
  /** The program `claude`. */
  readonly program: string
  readonly argv?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** A home to go on with; by default an empty one. */
  readonly home?: string
}

const LOOK_MS = 100
const PATIENCE_MS = 120_000
const MOST_MOVES = 10
const READING_MS = 1_500
/** The line of a list that Enter takes. */
const CHOSEN = /^.*❯.*$/m

/** Claude Code in a terminal of its own (tmux), with an empty home and no network but loopback. */
export class ClaudeTerminal extends TmuxTerminal implements Disposable {
  readonly home: string
  readonly project: string
  readonly #options: ClaudeOptions

  constructor(options: ClaudeOptions) {
    const home = options.home ?? mkdtempSync(join(tmpdir(), 'claude-home-'))
    const project = join(home, 'project')
    mkdirSync(project, { recursive: true })
    mkdirSync(join(home, 'tmp'), { recursive: true })
    super({ socket: join(home, 'tmux'), folder: project })
    this.home = home
    this.project = project
    this.#options = options
  }

  start(): void {
    const { program, argv = [], env = {} } = this.#options
    this.run({ argv: [program, ...argv], env: { ...this.#environment, ...env } })
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

  /** Confirms what a page says. Keys that come with the page are ignored. */
  async goOn(page: RegExp): Promise<void> {
    await this.sees(page)
    await delay(READING_MS)
    this.press('Enter')
  }

  /** Moves to a line of the list on the screen, and takes it. @throws {Error} if it is not in the list */
  async choose(wanted: RegExp): Promise<void> {
    await this.sees(CHOSEN)
    await delay(READING_MS) // keys that come with the page may count or not
    for (let moves = 0; moves < MOST_MOVES; moves += 1) {
      const chosen = this.#chosen
      if (wanted.test(chosen)) return this.press('Enter')
      this.press('Down')
      await this.#moves(chosen)
    }
    throw new Error(`${wanted} cannot be chosen:\n${this.screen}`)
  }

  get #chosen(): string {
    return CHOSEN.exec(this.screen)?.[0] ?? ''
  }

  /** Resolves when another line is chosen. A key whose effect is not shown yet must not be pressed twice. */
  async #moves(from: string): Promise<void> {
    const until = performance.now() + PATIENCE_MS
    while (this.#chosen === from || this.#chosen === '') {
      if (performance.now() > until) throw new Error(`nothing moves:\n${this.screen}`)
      await delay(LOOK_MS)
    }
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

  [Symbol.dispose](): void {
    this.stop()
    rmSync(this.home, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
  }
}
