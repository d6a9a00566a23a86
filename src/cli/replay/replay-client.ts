import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { codeOf, operatorError } from '../../shared/errors.ts'
import type { AskedGateway } from '../ask-gateway.ts'
import { Coverage } from './answer-pieces.ts'
import type { RecordedTurn } from './capture-reader.ts'

export interface NewAnswer {
  readonly status: number
  readonly body: Buffer
}

export const CLIENT_LEFT = 499
const MAX_ANSWER_BYTES = 256 * 1024 * 1024

/** Sends a recorded request, and leaves where the recorded client left. */
export async function ask(turn: RecordedTurn, target: AskedGateway): Promise<NewAnswer> {
  const { facts, body } = turn
  const { signal, key } = target
  const url = new URL(target.url.replace(/\/+$/, '') + pathOf(facts.request.url))
  const headers = {
    ...sendable(facts.request.headers),
    ...(key !== null && { authorization: `Bearer ${key}` }),
    'content-length': String(body.byteLength)
  }
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest
  const request = send(url, { method: facts.request.method, headers, signal, agent: false })
  try {
    request.end(body)
    const [response]: IncomingMessage[] = await once(request, 'response', { signal })
    if (response === undefined) throw new Error('no response')
    const enough = facts.status === CLIENT_LEFT ? new Coverage(turn.answer) : null
    return { status: response.statusCode ?? 0, body: await readAnswer(response, enough) }
  } catch (cause) {
    signal.throwIfAborted()
    const message = `No gateway answers at ${url.origin} (${codeOf(cause)}).`
    throw operatorError(message, cause)
  } finally {
    request.destroy()
  }
}

/** Returns what has come of a broken answer, too. Stops when `enough` has come. */
async function readAnswer(response: IncomingMessage, enough: Coverage | null): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      bytes += chunk.byteLength
      if (bytes > MAX_ANSWER_BYTES) break
      if (enough?.push(chunk) === true) break
    }
  } catch {
    // The answer was cut.
  }
  return Buffer.concat(chunks)
}

/** Accepts only paths of ours, whatever the folder says. */
function pathOf(url: string): string {
  if (/^\/[\w/.~-]*(\?[\w=&%.~-]*)?$/.test(url) && !url.startsWith('//')) return url
  throw operatorError('The recorded request has an unknown path.')
}

const OF_CONNECTION = new Set(
  'host connection content-length transfer-encoding expect upgrade keep-alive te trailer accept-encoding proxy-connection content-encoding'.split(
    ' '
  )
)

function sendable(headers: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(headers).filter(
    ([name, value]) =>
      /^[a-z0-9-]{1,64}$/.test(name) &&
      /^[\x20-\x7e]*$/.test(value) &&
      value !== '[secret]' &&
      !OF_CONNECTION.has(name)
  )
  return Object.fromEntries(kept)
}
