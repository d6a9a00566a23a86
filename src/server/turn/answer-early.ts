import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ErrorReply } from '../../dialects/dialect.ts'

/** Clients read no answer before they have sent their body; more or longer than this nobody is listened to. */
export interface Patience {
  readonly maxBytes: number
  readonly timeoutMs: number
}

const PATIENCE: Patience = { maxBytes: 256 * 1024 * 1024, timeoutMs: 10_000 }

/**
 * Answers a request whose body may not have been read. The answer is sent whole at once, but ended only when the rest
 * of the body has been read to nowhere: the end of an answer may close the connection, and a client that is still
 * sending would then see a reset instead of the answer.
 */
export function answerEarly(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: ErrorReply,
  patience = PATIENCE
): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) })
  if (request.complete || request.destroyed) {
    response.end(body)
    return
  }
  response.write(body)
  discardRest(request, () => response.end(), patience)
}

/**
 * Reads the rest of a body to nowhere and then calls `onOver`. What does not come to an end loses its connection:
 * clients that have vanished say nothing, and would keep it for ever.
 */
export function discardRest(
  request: IncomingMessage,
  onOver: () => void,
  { maxBytes, timeoutMs }: Patience = PATIENCE
): void {
  let left = maxBytes
  const end = (): void => {
    clearTimeout(timer)
    request.off('data', onData).off('end', end).off('close', end)
    onOver()
    if (!request.complete) request.socket.destroySoon() // what was written goes out first
  }
  const onData = (chunk: Buffer): void => {
    left -= chunk.byteLength
    if (left < 0) end()
  }
  const timer = setTimeout(end, timeoutMs)
  request.on('data', onData).once('end', end).once('close', end)
  request.resume()
}
