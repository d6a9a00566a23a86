import { parentPort } from 'node:worker_threads'
import type { FromSearcher, ToSearcher } from '../src/control/usage/search-messages.ts'
import { messageOf } from '../src/shared/errors.ts'
import { searchUsage } from '../src/control/usage/usage-search.ts'

/* The primary's thread for the panel's questions, so that a long search holds up neither the primary nor the book. */

parentPort?.on('message', ({ path, question }: ToSearcher) => {
  try {
    tell({ found: searchUsage(path, question) })
  } catch (cause) {
    tell({ failure: messageOf(cause) })
  }
})

function tell(message: FromSearcher): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(message)
}
