import type { FastifyInstance } from 'fastify'
import { DIALECT_NAMES, type DialectName, Dialects } from '../../dialects/dialect.ts'
import type { Logger } from '../../observe/logger.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import { Turn } from '../turn/turn.ts'

/** Where each client API is served. */
const AnswerPaths: ReadonlyMap<string, DialectName> = new Map(
  DIALECT_NAMES.flatMap((name) => Dialects[name].paths.map((path) => [path, name] as const))
)

/** The client API of a path, also of paths below it; `null` where there is none. */
export function dialectOfPath(path: string): DialectName | null {
  for (const [prefix, dialect] of AnswerPaths) {
    if (path === prefix || path.startsWith(`${prefix}/`)) return dialect
  }
  return null
}

/** The routes that ask the upstream. Body and answer are the turn's: fastify reads and writes neither. */
export function answerRoutes(app: FastifyInstance, plane: DataPlane, log: Logger): void {
  for (const [path, dialect] of AnswerPaths) {
    app.post(path, async (request, reply) => {
      reply.hijack()
      const { raw, id, keyName } = request
      const turn = new Turn({
        plane,
        dialect,
        route: path,
        request: raw,
        response: reply.raw,
        requestId: id,
        keyName,
        log
      })
      await turn.run()
    })
  }
}
