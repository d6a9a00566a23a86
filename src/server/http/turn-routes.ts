import type { IncomingMessage } from 'node:http'
import {
  DIALECT_NAMES,
  type DialectName,
  Dialects,
  dialectOfHeaders,
  isDialectName
} from '../../dialects/dialect.ts'
import type { UnnamedKey } from '../../ipc/usage-row.ts'
import type { Logger } from '../../observe/logger.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import type { PassthroughKeys } from './passthrough-keys.ts'
import { convertClientBody, referencedAnswers, requestOptionsOf } from '../turn/body.ts'
import { type LocalAnswer, Turn, type TurnOptions } from '../turn/turn.ts'
import { ANYONE, type KiroKey } from './auth.ts'
import type { Route } from './router.ts'

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
    serve: ({ request, response, requestId, keyName, namedKey, kiroKey }) => {
      const { keys, plane: own, log } = parts
      const plane = kiroKey === null ? own : keys.planeOf(kiroKey, response)
      const place = kiroKey === null ? keyName : keys.placeOf(kiroKey)
      const { dialect, answerHere, isCompactCall = false } = parts
      const usageKey = namedKey?.id ?? unnamedKeyOf(keyName, kiroKey)
      const key = { keyName, place, namedKey, usageKey }
      const call = { route: path, request, response, requestId, ...key }
      const here = answerHere === undefined ? {} : { answerHere }
      return new Turn({ plane, log, dialect, isCompactCall, ...here, ...call }).run()
    }
  }
}

export function unnamedKeyOf(keyName: string, kiroKey: KiroKey | null): UnnamedKey {
  if (kiroKey !== null) return 'kiro'
  return keyName === ANYONE ? 'anyone' : 'operator'
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
