import type { ServerResponse } from 'node:http'

/** Resolves once the system has taken all of an answer, or its client is gone. */
export function whenSent(response: ServerResponse): Promise<void> {
  if (response.writableFinished || response.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    response.once('finish', resolve).once('close', resolve)
  })
}
