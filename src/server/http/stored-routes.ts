import { Dialects } from '../../dialects/dialect.ts'
import {
  inputIdOf,
  listInputItems,
  readInputPage,
  toResponseJson
} from '../../dialects/openai-responses/stored-response.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { Admit } from '../items/item-store.ts'
import type { ClientBody } from '../turn/body.ts'
import type { LocalAnswer } from '../turn/turn.ts'
import type { Route } from './router.ts'
import { type TurnParts, turnRoute } from './turn-routes.ts'

const DIALECT = 'openai-responses'

/** Routes of stored responses. Each key finds its own alone: another's is as unknown as one that never was. */
export function storedRoutes(parts: TurnParts): readonly Route[] {
  return Dialects[DIALECT].paths.flatMap((path) => {
    const routeOf = (method: Route['method'], rest: string, answer: StoredAnswer): Route => ({
      method,
      path: `${path}/:id${rest}`,
      serve: (routed) => {
        const { url = '' } = routed.request
        const [, query = ''] = url.split('?', 2)
        const { id = '' } = routed.params
        const answerHere: LocalAnswer = (body) =>
          answer({ parts, id, query: new URLSearchParams(query), body })
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
}

type StoredAnswer = (asked: Asked) => Promise<object | string>

async function getResponse({ parts, id, query, body }: Asked): Promise<string> {
  if (query.get('stream') === 'true') throw notStreamed()
  return responseText({ parts, id, body })
}

async function deleteResponse({ parts, id, body }: Asked): Promise<object> {
  const { items } = parts.plane
  const isDeleted = await items.delete({ owner: body.key, responseId: id }, admitInto(body))
  if (!isDeleted) throw unknownResponse(id)
  return { id, object: 'response', deleted: true }
}

async function listInput({ parts, id, query, body }: Asked): Promise<object> {
  const page = readInputPage(query)
  const file = await parts.plane.items.read(body.key, inputIdOf(id), admitInto(body))
  const list = file === null ? null : listInputItems(id, file, page)
  if (list === null) throw unknownResponse(id)
  return list
}

/** Only a response in the background could be cancelled, and there are none. */
async function cancelResponse({ parts, id, body }: Asked): Promise<never> {
  await responseText({ parts, id, body })
  const message =
    'Only a background response can be cancelled, and background responses are not supported. To end an answer under way, close its connection.'
  throw new GatewayError('GW_BODY_INVALID', undefined, { message })
}

async function responseText({
  parts,
  id,
  body
}: Pick<Asked, 'parts' | 'id' | 'body'>): Promise<string> {
  const file = await parts.plane.items.read(body.key, id, admitInto(body))
  const text = file === null ? null : toResponseJson(id, file)
  if (text === null) throw unknownResponse(id)
  return text
}

/** The file is held once as bytes and once as text. */
function admitInto({ memory }: ClientBody): Admit {
  return (bytes) => memory.extend(bytes)
}

function notStreamed(): GatewayError {
  const message = 'A stored response cannot be streamed. Leave stream out to get it in one piece.'
  return new GatewayError('GW_BODY_INVALID', undefined, { message, param: 'stream' })
}

function unknownResponse(id: string): GatewayError {
  const message =
    `Response with id '${id.slice(0, 100)}' not found. Responses are stored for a while only, and none of requests with ` +
    '"store": false.'
  return new GatewayError('GW_RESPONSE_UNKNOWN', undefined, { message })
}
