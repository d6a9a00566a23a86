import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ErrorReply } from '../../dialects/dialect.ts'
import { discardRest, STRANGER } from './discard-rest.ts'

/**
 * Answers a request whose body may not have been read. The answer is sent whole at once, but ended only when the rest
 * of the body has been read to nowhere: the end of an answer may close the connection, and a client that is still
 * sending would then see a reset instead of the answer.
 */
export function answerEarly(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: ErrorReply,
  patience = STRANGER
): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) })
  if (request.complete || request.destroyed) {
    response.end(body)
    return
  }
  response.write(body)
  discardRest(request, () => response.end(), patience)
}
