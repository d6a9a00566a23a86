import { toShownText } from '../../shared/program-name.ts'
import type { Terminal } from '../command.ts'

/** Names commands as the program was called, in all that people read: messages also come from tables of the gateway. */
export class NamedTerminal implements Terminal {
  readonly #terminal: Terminal
  readonly #program: string
  /** JSON on standard output is for programs. */
  readonly #isJson: boolean

  constructor(
    terminal: Terminal,
    { program, isJson }: { readonly program: string; readonly isJson: boolean }
  ) {
    this.#terminal = terminal
    this.#program = program
    this.#isJson = isJson
  }

  get isInteractive(): boolean {
    return this.#terminal.isInteractive
  }

  get isRedrawn(): boolean {
    return this.#terminal.isRedrawn
  }

  write(line: string): void {
    this.#terminal.write(this.#isJson ? line : this.#shown(line))
  }

  note(line: string): void {
    this.#terminal.note(this.#shown(line))
  }

  progress(line: string): void {
    this.#terminal.progress(this.#shown(line))
  }

  redraw(lines: readonly string[]): void {
    this.#terminal.redraw(lines)
  }

  ask(question: string): Promise<string> {
    return this.#terminal.ask(this.#shown(question))
  }

  confirm(question: string): Promise<boolean> {
    return this.#terminal.confirm(this.#shown(question))
  }

  #shown(text: string): string {
    return toShownText(text, this.#program)
  }
}
