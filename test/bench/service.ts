import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What travels to a process of the bench and back: one answer for each question. */
interface Envelope {
  readonly id: number
  readonly content?: unknown
  readonly problem?: string
}

/** One of the bench's own processes, seen from outside. Questions may overlap. */
export class Service<Question, Answer> {
  readonly #child: ChildProcess
  readonly #pending = new Map<number, PromiseWithResolvers<Answer>>()
  #nextId = 1

  /** Starts the process; `file` is relative to this folder. */
  constructor(file: string) {
    this.#child = fork(fileURLToPath(new URL(file, import.meta.url)), [], { execArgv: [] })
    this.#child.on('message', (message) => this.#onAnswer(message as Envelope))
    this.#child.once('exit', (code) => {
      const error = new Error(`${file} ended with exit code ${code}`)
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

  /** Ends the process. */
  async close(): Promise<void> {
    this.#pending.clear()
    if (this.#child.exitCode !== null) return
    this.#child.disconnect()
    await once(this.#child, 'exit')
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
