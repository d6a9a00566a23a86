import type { IncomingMessage } from 'node:http'
import {
  DIALECT_NAMES,
  type DialectName,
  Dialects,
  dialectOfHeaders,
  isDialectName
} from '../../dialects/dialect.ts'
import type { Logger } from '../../observe/logger.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import { convertBody, referencedAnswers, requestOptionsOf } from '../turn/body.ts'
import { Turn } from '../turn/turn.ts'
import type { Route, RoutedRequest } from './router.ts'

/** How many tokens a request has (kiro-protocol §9.6): the upstream can't be asked, so it is estimated. */
export function countTokensRoutes(plane: DataPlane, log: Logger): readonly Route[] {
  return DIALECT_NAMES.flatMap((dialect) => {
    const { paths, counter } = Dialects[dialect]
    if (counter === undefined) return []
    return paths.map((one): Route => {
      const path = one + counter.path
      const serve: Route['serve'] = ({ request, response, requestId, keyName }) =>
        new Turn({
          plane,
          dialect,
          route: path,
          request,
          response,
          requestId,
          keyName,
          log,
          answerHere: async (body, signal) => {
            const { plan } = await convertBody(plane, body, signal)
            const { upstreamModel, inputTokens } = plan
            return counter.toAnswer(plane.calibration.correct(upstreamModel, inputTokens))
          }
        }).run()
      return { method: 'POST', path, serve }
    })
  })
}

const PATH = '/v1/lint'

/**
 * Says of a request of any dialect which rules of the upstream it breaks and what becomes of that. Looks at the body
 * as it would be looked at for an answer, and sends it nowhere.
 */
export function lintRoute(plane: DataPlane, log: Logger): Route {
  const serve = async ({ request, response, requestId, keyName }: RoutedRequest): Promise<void> => {
    const dialect = askedDialect(request)
    await new Turn({
      plane,
      // What this route itself refuses, it refuses as its client's API would.
      dialect: dialect ?? dialectOfHeaders(request.headers),
      route: PATH,
      request,
      response,
      requestId,
      keyName,
      log,
      answerHere: async ({ body, memory, key }, signal) => {
        const mayRefer = dialect ?? 'openai-responses'
        const answers = await referencedAnswers(plane, { dialect: mayRefer, body, key, memory })
        const options = { ...requestOptionsOf(plane), answers }
        return plane.transforms.lint(
          body,
          { dialect: dialect ?? undefined, request: options },
          { key, signal }
        )
      }
    }).run()
  }
  return { method: 'POST', path: PATH, serve }
}

/** @throws {GatewayError} GW_BODY_INVALID for a name that is none */
function askedDialect({ url = '' }: IncomingMessage): DialectName | null {
  const [, query] = url.split('?', 2)
  const name = new URLSearchParams(query).get('dialect')
  if (name === null || isDialectName(name)) return name
  throw new GatewayError('GW_BODY_INVALID', undefined, {
    message: `dialect: must be one of ${DIALECT_NAMES.join(', ')}`,
    param: 'dialect'
  })
}
