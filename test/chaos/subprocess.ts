import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

interface Envelope {
  readonly id: number
  readonly content?: unknown
  readonly problem?: string
}

/** A process of the chaos test, seen from its driver: one answer for each question. */
export class Subprocess<Question, Answer> {
  readonly #child: ChildProcess
  readonly #pending = new Map<number, PromiseWithResolvers<Answer>>()
  #nextId = 1

  /** Starts the process; `file` is relative to this folder. */
  constructor(file: string, argv: readonly string[]) {
    this.#child = fork(fileURLToPath(new URL(file, import.meta.url)), argv, { execArgv: [] })
    this.#child.on('message', (message) => this.#onAnswer(message as Envelope))
    this.#child.once('exit', (code) => {
      for (const { reject } of this.#pending.values()) reject(new Error(`${file} ended: ${code}`))
    })
  }

  ask(question: Question): Promise<Answer> {
    const id = this.#nextId++
    const pending = Promise.withResolvers<Answer>()
    this.#pending.set(id, pending)
    this.#child.send({ id, content: question } satisfies Envelope)
    return pending.promise
  }

  /** Ends the process; what was asked is not answered any more. */
  async close(): Promise<void> {
    this.#pending.clear()
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    if (this.#child.connected) this.#child.disconnect()
    await exited
  }

  #onAnswer({ id, content, problem }: Envelope): void {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    if (problem === undefined) pending?.resolve(content as Answer)
    else pending?.reject(new Error(problem))
  }
}

/** The same process from inside: answers what its driver asks, and ends with it. */
export function serve(answer: (question: never) => Promise<unknown>): void {
  process.once('disconnect', () => process.exit(0))
  process.on('message', ({ id, content }: Envelope) => {
    answer(content as never).then(
      (content) => process.send?.({ id, content } satisfies Envelope),
      (error: unknown) => process.send?.({ id, problem: String(error) } satisfies Envelope)
    )
  })
}
