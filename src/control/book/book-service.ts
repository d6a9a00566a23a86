import { messageOf } from '../../shared/errors.ts'
import { BookDatabase, errcodeOf, isDamage } from './book-database.ts'
import type { BookFailure, BookReply, FromBook, ToBook } from './book-messages.ts'

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
    const { id } = message
    try {
      this.tell({ type: 'answered', id, answer: await this.#obey(message) })
    } catch (cause) {
      this.tell({ type: 'failed', id, reason: this.#reasonOf(cause) })
    }
  }

  tell(message: FromBook): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#port.postMessage(message)
  }

  async #obey(message: ToBook): Promise<BookReply> {
    switch (message.type) {
      case 'open': {
        this.#book?.destroy()
        this.#book = null
        const { book, opened } = await BookDatabase.open(message.ask, (reason) =>
          this.tell({ type: 'waiting', reason })
        )
        this.#book = book
        return opened
      }
      case 'commit':
        return this.#opened().commit(message.ask)
      case 'sums':
        return this.#opened().sums(message.ask.since, message.ask.until)
      case 'look':
        return this.#opened().look(message.ask.account, message.ask.look)
      case 'close':
        this.#book?.close()
        this.#book = null
        return null
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
