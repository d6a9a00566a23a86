import { DIALECT_NAMES, type DialectName, Dialects } from '../../dialects/dialect.ts'
import type { Logger } from '../../observe/logger.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import { Turn } from '../turn/turn.ts'
import type { Route } from './router.ts'

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

/** The routes that ask the upstream. */
export function answerRoutes(plane: DataPlane, log: Logger): readonly Route[] {
  return Array.from(AnswerPaths, ([path, dialect]) => ({
    method: 'POST',
    path,
    serve: ({ request, response, requestId, keyName }) =>
      new Turn({
        plane,
        dialect,
        route: path,
        request,
        response,
        requestId,
        keyName,
        log
      }).run()
  }))
}
