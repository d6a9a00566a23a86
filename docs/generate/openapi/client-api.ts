import { type DialectName, Dialects } from '../../../src/dialects/dialect.ts'
import { STANDING_HEADERS } from './headers.ts'
import type { JsonSchema } from './json-schema.ts'
import { type Answer, JSON_TYPE, type Operation, type Parameter, STREAM_TYPE } from './operation.ts'

/** The description's part of one client API. */
export interface ClientApi {
  readonly conversation: Operation
  /** The operation that counts the tokens of a request, where the API has one. */
  readonly counter?: Operation
  /** Further operations of the API. */
  readonly others?: readonly Operation[]
  /** Requests, answers and events, by name. */
  readonly schemas: Readonly<Record<string, JsonSchema>>
  /** The name of the schema of its errors. */
  readonly errorSchema: 'OpenAiError' | 'AnthropicError'
}

/** Sent by Anthropic's clients. */
export const VERSION: Parameter = {
  name: 'anthropic-version',
  in: 'header',
  description: "Whatever it says, answers and errors are in the shapes of Anthropic's API.",
  schema: { type: 'string' }
}

type OwnPart = Pick<Operation, 'id' | 'summary' | 'description' | 'parameters' | 'request'>

/** Describes the operation that asks a model; the answer is `whole`, or a stream of `event`. */
export function conversationOf(
  dialect: DialectName,
  [whole, event]: readonly [whole: string, event: string],
  own: OwnPart
): Operation {
  return {
    ...own,
    ...pathsOf(Dialects[dialect].paths),
    tag: 'Conversations',
    method: 'post',
    access: 'key',
    errors: dialect,
    errorPlaces: ['any', 'key', 'body', 'model', 'account', 'answer', 'counted', 'waiting'],
    answers: [
      {
        status: 200,
        description: 'The answer: in one piece, or with `stream` as server-sent events.',
        content: { [JSON_TYPE]: [whole], [STREAM_TYPE]: [event] },
        headers: [
          'x-kiro-gateway-repairs',
          'x-kiro-gateway-model',
          'server-timing',
          'cache-control',
          'x-accel-buffering',
          ...(Dialects[dialect].toStandingHeaders === undefined ? [] : STANDING_HEADERS)
        ]
      }
    ]
  }
}

/** What operations have in common that look at a request and ask no model. */
export const LOCAL = {
  tag: 'Requests',
  method: 'post',
  access: 'key',
  errorPlaces: ['any', 'key', 'body', 'model', 'counted', 'waiting']
} as const

/** Describes the operation that counts the tokens of a request; the answer is a `count`. */
export function counterOf(
  dialect: DialectName,
  count: string,
  own: Omit<OwnPart, 'description'>
): Operation {
  const { paths, counter } = Dialects[dialect]
  return {
    ...own,
    ...LOCAL,
    ...pathsOf(paths.map((path) => path + (counter?.path ?? ''))),
    description: 'An estimate that follows what the upstream has counted of other requests.',
    errors: dialect,
    answers: inJson([count], 'The estimate.')
  }
}

/** The first leads to it by the name that clients use, the others for those that leave something out. */
export function pathsOf([path = '', ...aliases]: readonly string[]): Pick<
  Operation,
  'path' | 'aliases'
> {
  return { path, aliases }
}

/** A 200 in JSON, by any of these schemas. */
export function inJson(
  schemas: readonly string[],
  description: string,
  headers: readonly string[] = []
): readonly Answer[] {
  return [{ status: 200, description, content: { [JSON_TYPE]: schemas }, headers }]
}

/** A 200 in text of any of these types. */
export function inText(
  types: readonly string[],
  description: string,
  headers: readonly string[] = []
): readonly Answer[] {
  const content = Object.fromEntries(types.map((type) => [type, 'text'] as const))
  return [{ status: 200, description, content, headers }]
}

export function inPath(name: string, description: string, example: string): Parameter {
  return { name, in: 'path', description, schema: { type: 'string' }, example }
}

export function inQuery(name: string, description: string, schema: JsonSchema): Parameter {
  return { name, in: 'query', description, schema }
}
