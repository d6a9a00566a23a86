import { Pending } from '../../src/ipc/channel.ts'
import type { Answers, FromWorker, WorkerQuestion } from '../../src/ipc/messages.ts'

type Asked = Extract<FromWorker, { readonly type: 'asked' }>

/** A worker's way to ask its primary, which answers by `answer()`. It falls silent when the signal aborts. */
export class FakePulse {
  readonly silence: AbortSignal
  readonly #onAsked: (asked: Asked) => void
  readonly #questions = new Pending<Answers[keyof Answers]>()

  constructor(onAsked: (asked: Asked) => void, silence = new AbortController().signal) {
    this.#onAsked = onAsked
    this.silence = silence
  }

  ask<Q extends WorkerQuestion>(question: Q, signal?: AbortSignal): Promise<Answers[Q['type']]>
  ask(question: WorkerQuestion, signal = this.silence): Promise<Answers[keyof Answers]> {
    const ends = AbortSignal.any([signal, this.silence])
    return this.#questions.ask((requestId) => {
      this.#onAsked({ type: 'asked', requestId, question })
    }, ends)
  }

  answer(requestId: number, answer: Answers[keyof Answers] = null): void {
    this.#questions.answer(requestId, answer)
  }
}
