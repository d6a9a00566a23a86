import { messageOf } from '../../shared/errors.ts'
import { BookDatabase, errcodeOf, isDamage } from './book-database.ts'
import type { BookFailure, FromBook, ToBook } from './book-messages.ts'

/** The thread's end of the channel to the primary. */
export interface BookPort {
  readonly postMessage: (message: FromBook) => void
  readonly on: (event: 'message', listener: (message: ToBook) => void) => unknown
}

/** Keeps one account book for a primary: runs its messages one by one, and answers each. */
export function serveBook(port: BookPort): void {
  const service = new BookService(port)
  let turn = Promise.resolve()
  port.on('message', (message) => {
    turn = service.inTurn(turn, message)
  })
  service.tell({ type: 'started' })
}

class BookService {
  readonly #port: BookPort
  #book: BookDatabase | null = null

  constructor(port: BookPort) {
    this.#port = port
  }

  /** Never rejects. */
  async inTurn(before: Promise<void>, message: ToBook): Promise<void> {
    await before
    try {
      this.tell(await this.#obey(message))
    } catch (cause) {
      this.tell({ type: 'failed', id: message.id, reason: this.#reasonOf(cause) })
    }
  }

  tell(message: FromBook): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#port.postMessage(message)
  }

  async #obey(message: ToBook): Promise<FromBook> {
    const { id } = message
    switch (message.type) {
      case 'open': {
        this.#book?.destroy()
        this.#book = null
        const { book, opened } = await BookDatabase.open(message.opening, (reason) =>
          this.tell({ type: 'waiting', reason })
        )
        this.#book = book
        return { type: 'opened', id, opened }
      }
      case 'commit':
        return { type: 'committed', id, answer: await this.#opened().commit(message.batch) }
      case 'sums':
        return { type: 'summed', id, sums: this.#opened().sums(message.since, message.until) }
      case 'look': {
        const story = await this.#opened().look(message.account, message.look)
        return { type: 'looked', id, story }
      }
      case 'close':
        this.#book?.close()
        this.#book = null
        return { type: 'closed', id }
    }
  }

  #opened(): BookDatabase {
    if (this.#book === null) throw new Error('the book is not open')
    return this.#book
  }

  #reasonOf(cause: unknown): BookFailure {
    const errcode = errcodeOf(cause)
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    const damagedFile = isDamage(cause) ? (this.#book?.identity ?? null) : null
    return { errcode, code, message: messageOf(cause), damagedFile, isUnsure: false }
  }
}
