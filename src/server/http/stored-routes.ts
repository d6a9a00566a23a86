import { setImmediate } from 'node:timers/promises'
import { Dialects } from '../../dialects/dialect.ts'
import {
  inputIdOf,
  listInputItems,
  readInputPage,
  toResponseJson
} from '../../dialects/openai-responses/stored-response.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { Admit } from '../items/item-store.ts'
import { KeyLines } from '../socket/key-lines.ts'
import type { ClientBody } from '../turn/body.ts'
import type { LocalAnswer } from '../turn/turn.ts'
import type { Route } from './router.ts'
import { type TurnParts, turnRoute } from './turn-routes.ts'

const DIALECT = 'openai-responses'

/** Routes of stored responses. Each key finds its own alone: another's is as unknown as one that never was. */
export function storedRoutes(parts: TurnParts): readonly Route[] {
  const lines = new KeyLines()
  return Dialects[DIALECT].paths.flatMap((path) => {
    const routeOf = (method: Route['method'], rest: string, answer: StoredAnswer): Route => ({
      method,
      path: `${path}/:id${rest}`,
      serve: (routed) => {
        const { url = '' } = routed.request
        const [, query = ''] = url.split('?', 2)
        const { id = '' } = routed.params
        const answerHere: LocalAnswer = (body, signal) =>
          answer({ parts, id, query: new URLSearchParams(query), body, signal, lines })
        const route = turnRoute(`${path}/{id}${rest}`, { ...parts, dialect: DIALECT, answerHere })
        return route.serve(routed)
      }
    })
    return [
      routeOf('GET', '', getResponse),
      routeOf('DELETE', '', deleteResponse),
      routeOf('GET', '/input_items', listInput),
      routeOf('POST', '/cancel', cancelResponse)
    ]
  })
}

interface Asked {
  readonly parts: TurnParts
  readonly id: string
  readonly query: URLSearchParams
  readonly body: ClientBody
  readonly signal: AbortSignal
  readonly lines: KeyLines
}

type StoredAnswer = (asked: Asked) => Promise<object | string>

async function getResponse(asked: Asked): Promise<string> {
  if (asked.query.get('stream') === 'true') {
    const message = 'A stored response cannot be streamed. Leave stream out to get it in one piece.'
    throw new GatewayError('GW_BODY_INVALID', undefined, { message, param: 'stream' })
  }
  return responseText(asked)
}

async function deleteResponse({ parts, id, body }: Asked): Promise<object> {
  const { items } = parts.plane
  const isDeleted = await items.delete({ owner: body.key, responseId: id }, admitInto(body))
  if (!isDeleted) throw unknownResponse(id)
  return { id, object: 'response', deleted: true }
}

async function listInput(asked: Asked): Promise<object> {
  const { id } = asked
  const page = readInputPage(asked.query)
  return readStored(asked, inputIdOf(id), (file) => listInputItems(id, file, page))
}

/** Only a response in the background could be cancelled, and there are none. */
async function cancelResponse(asked: Asked): Promise<never> {
  await responseText(asked)
  const message =
    'Only a background response can be cancelled, and background responses are not supported. To end an answer under way, close its connection.'
  throw new GatewayError('GW_BODY_INVALID', undefined, { message })
}

function responseText(asked: Asked): Promise<string> {
  return readStored(asked, asked.id, (file) => toResponseJson(asked.id, file))
}

/**
 * Reads a file of megabytes: for one request of a key at a time, each in a turn of the event loop. Sixty at once would hold
 * up all clients of the worker for seconds.
 */
async function readStored<T>(
  { parts, id, body, signal, lines }: Asked,
  fileId: string,
  toAnswer: (file: Uint8Array) => T | null | Promise<T | null>
): Promise<T> {
  const file = await parts.plane.items.read(body.key, fileId, admitInto(body))
  if (file === null) throw unknownResponse(id)
  const leaveLine = await lines.enter(body.key, signal)
  try {
    await setImmediate()
    const answer = await toAnswer(file)
    if (answer === null) throw unknownResponse(id)
    return answer
  } finally {
    leaveLine()
  }
}

/** The file is held once as bytes and once as text. */
function admitInto({ memory }: ClientBody): Admit {
  return (bytes) => memory.extend(bytes)
}

function unknownResponse(id: string): GatewayError {
  const message =
    `Response with id '${id.slice(0, 100)}' not found. Responses are stored for a while only, and none of requests with ` +
    '"store": false.'
  return new GatewayError('GW_RESPONSE_UNKNOWN', undefined, { message })
}
