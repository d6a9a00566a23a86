import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What travels to a process of the bench and back: one answer for each question. */
interface Envelope {
  readonly id: number
  readonly content?: unknown
  readonly problem?: string
}

/** A process of a test's own, seen from outside: one answer for each question. Questions may overlap. */
export class Subprocess<Question, Answer> {
  readonly #child: ChildProcess
  readonly #pending = new Map<number, PromiseWithResolvers<Answer>>()
  #nextId = 1

  constructor(file: URL, argv: readonly string[] = []) {
    this.#child = fork(fileURLToPath(file), argv, { execArgv: [] })
    this.#child.on('message', (message) => this.#onAnswer(message as Envelope))
    this.#child.once('exit', (code) => {
      const error = new Error(`${file.pathname} ended with exit code ${code}`)
      for (const { reject } of this.#pending.values()) reject(error)
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
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

/** The same process from inside: answers what its parent asks, ends with it. */
export function serve(answer: (question: never) => Promise<unknown>): void {
  process.once('disconnect', () => process.exit(0))
  process.on('message', ({ id, content }: Envelope) => {
    answer(content as never).then(
      (content) => process.send?.({ id, content } satisfies Envelope),
      (error: unknown) => process.send?.({ id, problem: String(error) } satisfies Envelope)
    )
  })
}
