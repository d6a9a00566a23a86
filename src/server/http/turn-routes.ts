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
import type { DataPlane } from '../worker/data-plane.ts'
import type { AskedOn, PassthroughKeys } from './passthrough-keys.ts'
import { convertClientBody, referencedAnswers, requestOptionsOf } from '../turn/body.ts'
import { type LocalAnswer, Turn, type TurnOptions } from '../turn/turn.ts'
import { ANYONE } from './auth.ts'
import type { Route, RoutedRequest } from './router.ts'

const AnswerPaths: ReadonlyMap<string, DialectName> = new Map(
  DIALECT_NAMES.flatMap((name) => Dialects[name].paths.map((path) => [path, name] as const))
)

/** Includes paths below; `null` if there is none. */
export function dialectOfPath(path: string): DialectName | null {
  for (const [prefix, dialect] of AnswerPaths) {
    if (path === prefix || path.startsWith(`${prefix}/`)) return dialect
  }
  return DIALECT_NAMES.find((name) => Dialects[name].clientPaths?.includes(path) === true) ?? null
}

export function turnRoutes(parts: TurnParts): readonly Route[] {
  return [
    ...Array.from(AnswerPaths, ([path, dialect]) => turnRoute(path, { ...parts, dialect })),
    ...compactRoutes(parts),
    ...countRoutes(parts),
    lintRoute(parts)
  ]
}

export interface TurnParts {
  readonly plane: DataPlane
  readonly keys: PassthroughKeys
  readonly log: Logger
}

/** Route of a request of a client API. `path` is told to logs and metrics. */
export function turnRoute(
  path: string,
  parts: TurnParts & Pick<TurnOptions, 'dialect' | 'answerHere' | 'isCompactCall'>
): Route {
  return {
    method: 'POST',
    path,
    serve: (routed) => {
      const { request, response, requestId } = routed
      const { log, dialect, answerHere, isCompactCall = false } = parts
      const call = {
        ...askerOf(parts, routed, response),
        route: path,
        request,
        response,
        requestId
      }
      const here = answerHere === undefined ? {} : { answerHere }
      return new Turn({ log, dialect, isCompactCall, ...here, ...call }).run()
    }
  }
}

/** Key of a request, however it came. */
export type CallerKey = Pick<RoutedRequest, 'keyName' | 'namedKey' | 'kiroKey'>

/** Returns who asks a turn, and the plane that answers: of the gateway's sign-in, or of the client's own key. */
export function askerOf(
  { plane, keys }: Pick<TurnParts, 'plane' | 'keys'>,
  { keyName, namedKey, kiroKey }: CallerKey,
  response: AskedOn
) {
  if (kiroKey !== null) {
    const own = { plane: keys.planeOf(kiroKey, response), place: keys.placeOf(kiroKey) }
    return { ...own, keyName, namedKey, usageKey: 'kiro' }
  }
  const usageKey = namedKey?.id ?? (keyName === ANYONE ? 'anyone' : 'operator')
  return { plane, place: keyName, keyName, namedKey, usageKey }
}

function compactRoutes(parts: TurnParts): readonly Route[] {
  return DIALECT_NAMES.flatMap((dialect) => {
    const { paths, compactPath } = Dialects[dialect]
    if (compactPath === undefined) return []
    return paths.map((path) =>
      turnRoute(path + compactPath, { ...parts, dialect, isCompactCall: true })
    )
  })
}

/** Estimates a request's tokens (kiro-protocol §9.6): the upstream offers no count. */
function countRoutes(parts: TurnParts): readonly Route[] {
  const { plane } = parts
  return DIALECT_NAMES.flatMap((dialect) => {
    const { paths, counter } = Dialects[dialect]
    if (counter === undefined) return []
    const answerHere: LocalAnswer = async (body, signal) => {
      const { plan } = await convertClientBody(plane, body, signal)
      return counter.toAnswer(plane.calibration.count(plan.upstreamModel, plan.groups), plan)
    }
    return paths.map((path) => turnRoute(path + counter.path, { ...parts, dialect, answerHere }))
  })
}

const LINT_PATH = '/v1/lint'

/** Converts a request as for an answer, and sends it nowhere. */
function lintRoute(parts: TurnParts): Route {
  const { plane } = parts
  return {
    method: 'POST',
    path: LINT_PATH,
    serve: async (routed) => {
      const { request } = routed
      const dialect = askedDialect(request)
      const answerHere: LocalAnswer = async ({ body, memory, key, place, namedKey }, signal) => {
        const mayRefer = dialect ?? 'openai-responses'
        const answers = await referencedAnswers(plane, { dialect: mayRefer, body, key, memory })
        const compaction = { keys: plane.compactionKeys, owner: key, isCall: false }
        const options = { ...requestOptionsOf(plane, namedKey), answers, compaction }
        const lint = { dialect: dialect ?? undefined, request: options }
        return plane.transforms.lint(body, lint, { key: place, signal })
      }
      // Its own refusals use the client's API.
      const spoken = dialect ?? dialectOfHeaders(request.headers)
      await turnRoute(LINT_PATH, { ...parts, dialect: spoken, answerHere }).serve(routed)
    }
  }
}

/** @throws {GatewayError} GW_BODY_INVALID for an unknown name */
function askedDialect({ url = '' }: IncomingMessage): DialectName | null {
  const at = url.indexOf('?')
  const name = at < 0 ? null : new URLSearchParams(url.slice(at)).get('dialect')
  if (name === null || isDialectName(name)) return name
  throw new GatewayError('GW_BODY_INVALID', undefined, {
    message: `dialect: must be one of ${DIALECT_NAMES.join(', ')}`,
    param: 'dialect'
  })
}
