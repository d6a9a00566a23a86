import type { FastifyInstance, FastifyRequest } from 'fastify'
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

/** How many tokens a request has (kiro-protocol §9.6): the upstream can't be asked, so it is estimated. */
export function countTokensRoutes(app: FastifyInstance, plane: DataPlane, log: Logger): void {
  for (const dialect of DIALECT_NAMES) {
    const { paths, counter } = Dialects[dialect]
    if (counter === undefined) continue
    for (const path of paths.map((one) => one + counter.path)) {
      app.post(path, async ({ raw, id, keyName }, reply) => {
        reply.hijack()
        await new Turn({
          plane,
          dialect,
          route: path,
          request: raw,
          response: reply.raw,
          requestId: id,
          keyName,
          log,
          answerHere: async (body, signal) => {
            const { plan } = await convertBody(plane, body, signal)
            const { upstreamModel, inputTokens } = plan
            return counter.toAnswer(plane.calibration.correct(upstreamModel, inputTokens))
          }
        }).run()
      })
    }
  }
}

const PATH = '/v1/lint'

/**
 * Says of a request of any dialect which rules of the upstream it breaks and what becomes of that. Looks at the body
 * as it would be looked at for an answer, and sends it nowhere.
 */
export function lintRoute(app: FastifyInstance, plane: DataPlane, log: Logger): void {
  app.post(PATH, async (request, reply) => {
    const dialect = askedDialect(request)
    reply.hijack()
    await new Turn({
      plane,
      // What this route itself refuses, it refuses as its client's API would.
      dialect: dialect ?? dialectOfHeaders(request.headers),
      route: PATH,
      request: request.raw,
      response: reply.raw,
      requestId: request.id,
      keyName: request.keyName,
      log,
      answerHere: async ({ body, memory, key }, signal) => {
        const mayRefer = dialect ?? 'openai-responses'
        const answers = await referencedAnswers(plane, { dialect: mayRefer, body, key, memory })
        const options = { ...requestOptionsOf(plane), answers }
        return plane.transforms.lint(body, { dialect, request: options }, { key, signal })
      }
    }).run()
  })
}

/** @throws {GatewayError} GW_BODY_INVALID for a name that is none */
function askedDialect({ query }: FastifyRequest): DialectName | undefined {
  const name: unknown = Reflect.get(Object(query), 'dialect')
  if (name === undefined) return undefined
  if (typeof name === 'string' && isDialectName(name)) return name
  throw new GatewayError('GW_BODY_INVALID', undefined, {
    message: `dialect: must be one of ${DIALECT_NAMES.join(', ')}`,
    param: 'dialect'
  })
}
