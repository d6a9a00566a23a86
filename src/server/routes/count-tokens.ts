import type { FastifyInstance } from 'fastify'
import type { Logger } from '../../observe/logger.ts'
import type { DataPlane } from '../data-plane.ts'
import { convertBody } from '../convert-body.ts'
import { LocalTurn } from '../local-turn.ts'

const PATHS = [
  '/v1/messages/count_tokens',
  '/messages/count_tokens',
  '/anthropic/v1/messages/count_tokens'
]

/** How many tokens a Messages request has (kiro-protocol §9.6): the upstream can't be asked, so it is estimated. */
export function countTokensRoute(app: FastifyInstance, plane: DataPlane, log: Logger): void {
  for (const path of PATHS) {
    app.post(path, async ({ raw, id, keyName }, reply) => {
      reply.hijack()
      await new LocalTurn({
        plane,
        dialect: 'anthropic-messages',
        route: path,
        request: raw,
        response: reply.raw,
        requestId: id,
        keyName,
        log,
        answer: async (body, signal) => {
          const { plan } = await convertBody(plane, body, signal)
          const { upstreamModel, inputTokens } = plan
          return { input_tokens: plane.calibration.correct(upstreamModel, inputTokens) }
        }
      }).run()
    })
  }
}
