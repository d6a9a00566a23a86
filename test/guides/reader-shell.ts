import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'

/** Who types, with which environment, and a folder in which what is typed is put down. */
export interface Reader {
  readonly uid: number
  readonly gid: number
  readonly home: string
  readonly env: NodeJS.ProcessEnv
  readonly folder: string
}

export interface Typed {
  readonly commands: string
  /** What is typed when the commands ask. */
  readonly answers: string
}

export interface Outcome {
  readonly lines: readonly string[]
  /** Exit codes of the commands that failed. */
  readonly failed: readonly string[]
}

/** What is typed behind it would be seen in a terminal. */
const QUESTION = '[y/N] '
const POLL_MS = 50
/** A gateway has DRAIN_TIMEOUT, 30 s, to end. */
const INTERRUPT_MS = 40_000

/** The terminal into which a reader types one block after the other: folder and variables stay. */
export class ReaderShell {
  readonly #reader: Reader
  readonly #child: ChildProcess
  #said = ''
  #blocks = 0

  constructor(reader: Reader) {
    this.#reader = reader
    this.#child = spawn('bash', ['--noprofile', '--norc'], {
      ...asReader(reader),
      cwd: reader.home,
      stdio: ['pipe', 'pipe', 'inherit']
    })
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text
    })
    this.#send(`exec 2>&1; set -E; trap 'FAILED="$FAILED $?"' ERR`)
  }

  /** @throws {Error} after `timeoutMs` */
  async type({ commands, answers }: Typed, timeoutMs: number): Promise<Outcome> {
    const script = this.#put(`${++this.#blocks}.sh`, `${commands}\n`)
    const input = this.#put(`${this.#blocks}.answers`, `${answers}\n`)
    const mark = `end-of-block-${this.#blocks}`
    this.#said = ''
    this.#send(`FAILED=; . ${script} <${input}; echo; echo "${mark} $FAILED"`)
    const said = await this.#until((text) => text.includes(`\n${mark}`), timeoutMs)
    const [output = '', end = ''] = said.split(`\n${mark}`)
    return {
      lines: linesOf(output.replaceAll(QUESTION, `${QUESTION}${answers}\n`)),
      failed: end.trim().split(' ').filter(Boolean)
    }
  }

  /** Opens another terminal in the same folder, for what stays busy. */
  async open(name: string, { commands }: Typed): Promise<BusyTerminal> {
    const { lines } = await this.type({ commands: 'pwd', answers: '' }, INTERRUPT_MS)
    const script = this.#put(`${name}.sh`, `${commands}\n`)
    return new BusyTerminal(this.#reader, { script, cwd: lines[0] ?? '' })
  }

  #put(name: string, text: string): string {
    const path = join(this.#reader.folder, name)
    writeFileSync(path, text)
    chownSync(path, this.#reader.uid, this.#reader.gid)
    return path
  }

  #send(line: string): void {
    this.#child.stdin?.write(`${line}\n`)
  }

  async #until(fits: (text: string) => boolean, timeoutMs: number): Promise<string> {
    for (const end = Date.now() + timeoutMs; Date.now() < end; await delay(POLL_MS)) {
      if (fits(this.#said)) return this.#said
      if (this.#child.exitCode !== null) throw new Error(`the shell ended:\n${this.#said}`)
    }
    throw new Error(`it does not end:\n${this.#said}`)
  }
}

/** A terminal, as wide as most, in which something runs until Ctrl-C. */
export class BusyTerminal {
  readonly #child: ChildProcess
  #said = ''

  constructor(reader: Reader, { script, cwd }: { readonly script: string; readonly cwd: string }) {
    const command = `stty cols 100; exec bash --noprofile --norc ${script}`
    this.#child = spawn('script', ['-qfec', command, '/dev/null'], {
      ...asReader(reader),
      cwd,
      stdio: ['pipe', 'pipe', 'inherit']
    })
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text
    })
  }

  get lines(): readonly string[] {
    return linesOf(this.#said)
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null
  }

  /** Presses Ctrl-C, and resolves when it has ended. */
  async interrupt(): Promise<void> {
    if (this.hasEnded) return
    const ended = once(this.#child, 'exit', { signal: AbortSignal.timeout(INTERRUPT_MS) })
    this.#child.stdin?.write('\x03')
    await ended
  }
}

function asReader({ uid, gid, env }: Reader) {
  return { uid, gid, env }
}

function linesOf(text: string): readonly string[] {
  const lines = stripVTControlCharacters(text.replaceAll('\r\n', '\n')).split('\n')
  return lines.map((line) => line.split('\r').at(-1)?.trimEnd() ?? '')
}
