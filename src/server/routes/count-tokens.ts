import type { FastifyInstance } from 'fastify'
import type { Logger } from '../../observe/logger.ts'
import type { DataPlane } from '../data-plane.ts'
import { convertBody } from '../convert-body.ts'
import { LocalTurn } from '../local-turn.ts'

/** Where each client API counts, and how it tells the result. */
const COUNTERS = [
  {
    dialect: 'anthropic-messages',
    paths: [
      '/v1/messages/count_tokens',
      '/messages/count_tokens',
      '/anthropic/v1/messages/count_tokens'
    ],
    toAnswer: (tokens: number) => ({ input_tokens: tokens })
  },
  {
    dialect: 'openai-responses',
    paths: ['/v1/responses/input_tokens', '/responses/input_tokens'],
    toAnswer: (tokens: number) => ({ object: 'response.input_tokens', input_tokens: tokens })
  }
] as const

/** How many tokens a request has (kiro-protocol §9.6): the upstream can't be asked, so it is estimated. */
export function countTokensRoutes(app: FastifyInstance, plane: DataPlane, log: Logger): void {
  for (const { dialect, paths, toAnswer } of COUNTERS) {
    for (const path of paths) {
      app.post(path, async ({ raw, id, keyName }, reply) => {
        reply.hijack()
        await new LocalTurn({
          plane,
          dialect,
          route: path,
          request: raw,
          response: reply.raw,
          requestId: id,
          keyName,
          log,
          answer: async (body, signal) => {
            const { plan } = await convertBody(plane, body, signal)
            const { upstreamModel, inputTokens } = plan
            return toAnswer(plane.calibration.correct(upstreamModel, inputTokens))
          }
        }).run()
      })
    }
  }
}
