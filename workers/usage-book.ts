import { parentPort } from 'node:worker_threads'
import { BookDatabase, errcodeOf, isDamage } from '../src/control/book/book-database.ts'
import type { BookFailure, FromBook, ToBook } from '../src/control/book/book-messages.ts'

/* The primary's thread for the account book, since SQLite waits for the disk. Runs messages one by one. */

let book: BookDatabase | null = null
let turn = Promise.resolve()

parentPort?.on('message', (message: ToBook) => {
  turn = inTurn(turn, message)
})
tell({ type: 'started' })

async function inTurn(before: Promise<void>, message: ToBook): Promise<void> {
  await before
  try {
    tell(await obey(message))
  } catch (cause) {
    tell({ type: 'failed', id: message.id, reason: reasonOf(cause) })
  }
}

function tell(message: FromBook): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(message)
}

async function obey(message: ToBook): Promise<FromBook> {
  const { id } = message
  switch (message.type) {
    case 'open': {
      book?.destroy()
      book = null
      const { book: next, opened: news } = await BookDatabase.open(message.opening, (reason) =>
        tell({ type: 'waiting', reason })
      )
      book = next
      return { type: 'opened', id, opened: news }
    }
    case 'commit':
      return { type: 'committed', id, answer: await opened().commit(message.batch) }
    case 'sums':
      return { type: 'summed', id, sums: opened().sums(message.since, message.until) }
    case 'look':
      return { type: 'looked', id, story: await opened().look(message.account, message.look) }
    case 'close':
      book?.close()
      book = null
      return { type: 'closed', id }
  }
}

function opened(): BookDatabase {
  if (book === null) throw new Error('the book is not open')
  return book
}

function reasonOf(cause: unknown): BookFailure {
  const errcode = errcodeOf(cause)
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const message = cause instanceof Error ? cause.message : String(cause)
  const damagedFile = isDamage(cause) ? (book?.identity ?? null) : null
  return { errcode, code, message, damagedFile, isUnsure: false }
}
