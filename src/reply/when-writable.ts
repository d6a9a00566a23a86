import type { ServerResponse } from 'node:http'

/**
 * Resolves once an answer can be written to without piling up: at once, or when its client has read what waits.
 * Rejects with the signal's reason.
 */
export async function whenWritable(response: ServerResponse, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  if (!response.writableNeedDrain) return
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onAbort = (): void => reject(signal.reason)
  response.once('drain', resolve)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await promise
  } finally {
    response.off('drain', resolve)
    signal.removeEventListener('abort', onAbort)
  }
}
