import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ErrorReply } from '../dialects/error-body.ts'

/** Clients read no answer before they have sent their body; more or longer than this nobody is listened to. */
const DISCARD_MAX_BYTES = 256 * 1024 * 1024
const DISCARD_TIMEOUT_MS = 10_000

/**
 * Answers a request whose body may not have been read. The answer is sent whole at once, but ended only when the rest
 * of the body has been read to nowhere: the end of an answer may close the connection, and a client that is still
 * sending would then see a reset instead of the answer.
 */
export function answerEarly(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: ErrorReply
): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) })
  if (request.complete || request.destroyed) {
    response.end(body)
    return
  }
  response.write(body)
  let left = DISCARD_MAX_BYTES
  const end = (): void => {
    clearTimeout(timer)
    request.off('data', onData).off('end', end).off('close', end)
    response.end()
  }
  const onData = (chunk: Buffer): void => {
    left -= chunk.byteLength
    if (left < 0) end()
  }
  const timer = setTimeout(end, DISCARD_TIMEOUT_MS)
  request.on('data', onData).once('end', end).once('close', end)
  request.resume()
}
