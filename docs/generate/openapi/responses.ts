import type { DialectName } from '../../../src/dialects/dialect.ts'
import { type JsonSchema, anyOf, refTo } from './json-schema.ts'
import { ClientApis } from './client-apis.ts'
import { codesIn, type ToldError, toldErrors } from './errors.ts'
import { EVERY_ANSWER, headersRefs } from './headers.ts'
import { type Answer, JSON_TYPE, type Operation } from './operation.ts'

/** Response to a request: an answer, an error, or either, if both have one status. */
export interface ApiResponse {
  readonly description: string
  readonly headers: Readonly<Record<string, object>>
  /** By content type. */
  readonly content: Readonly<Record<string, ApiContent>>
}

interface ApiContent {
  readonly schema: JsonSchema
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>
}

/** All that an operation may answer, by status. */
export function toResponses(operation: Operation): Readonly<Record<string, ApiResponse>> {
  const responses = new Map(operation.answers.map((one) => [one.status, toAnswer(one, operation)]))
  for (const [status, errors] of errorsOf(operation)) {
    const answer = responses.get(status)
    const error = toError(errors, operation)
    responses.set(status, answer === undefined ? error : either(answer, error))
  }
  return Object.fromEntries(responses)
}

function toAnswer(
  { description, content, headers = [] }: Answer,
  operation: Operation
): ApiResponse {
  const shown = Object.entries(content).map(([type, schemas]) => {
    const schema = schemas === 'text' ? { type: 'string' } : schemaOf(schemas)
    return [type, { schema }] as const
  })
  return {
    description,
    headers: headersRefs([...EVERY_ANSWER, ...traceHeaders(operation), ...headers]),
    content: Object.fromEntries(shown)
  }
}

function schemaOf(names: readonly string[]): JsonSchema {
  const [first = '', ...others] = names
  return others.length === 0 ? refTo(first) : anyOf(names.map(refTo))
}

function either(answer: ApiResponse, error: ApiResponse): ApiResponse {
  const contents = [answer, error].flatMap(({ content }) => content[JSON_TYPE] ?? [])
  const schema = anyOf(contents.map((one) => one.schema))
  const examples = Object.assign({}, ...contents.map((one) => one.examples))
  return {
    description: `${answer.description}\n\n${error.description}`,
    headers: { ...answer.headers, ...error.headers },
    content: { [JSON_TYPE]: { schema, examples } }
  }
}

/** Headers of traced operations: requests with a body. */
function traceHeaders({ request }: Operation): readonly string[] {
  return request === undefined ? [] : ['traceparent']
}

/** Dialects of both vendors, for routes where the request chooses one. */
const EITHER: readonly DialectName[] = ['openai-chat', 'anthropic-messages']

/** By status, the lowest first. */
function errorsOf({ errors, errorPlaces }: Operation): ReadonlyMap<number, readonly ToldError[]> {
  const dialects = errors === 'asked' ? EITHER : [errors]
  const codes = codesIn(errorPlaces)
  const told = dialects.flatMap((dialect) => toldErrors(codes, dialect))
  return Map.groupBy(
    told.toSorted((a, b) => a.status - b.status),
    ({ status }) => status
  )
}

function toError(errors: readonly ToldError[], operation: Operation): ApiResponse {
  const lines = errors.map(({ code, message }) => `- \`${code}\`: ${message}`)
  const names = errors.map(({ dialect }) => ClientApis[dialect].errorSchema)
  const examples = errors.map(({ code, dialect, body }) => [
    operation.errors === 'asked' ? `${code}.${dialect}` : code,
    { value: body }
  ])
  // Of any error the time may be known after which the request may be sent again, unless it will fail again.
  const isFinal = errors.every(({ headers }) => headers.includes('x-should-retry'))
  const headers = [
    ...EVERY_ANSWER,
    ...traceHeaders(operation),
    ...errors.flatMap((one) => one.headers),
    ...(isFinal ? [] : ['retry-after']),
    ...(operation.errorPlaces.includes('answer')
      ? ['x-kiro-gateway-repairs', 'x-kiro-gateway-model']
      : []),
    ...(errors.some(({ code }) => code === 'GW_UPGRADE_REFUSED') ? ['upgrade'] : [])
  ]
  return {
    description: [...new Set(lines)].join('\n'),
    headers: headersRefs(headers),
    content: {
      [JSON_TYPE]: {
        schema: schemaOf([...new Set(names)]),
        examples: Object.fromEntries(examples)
      }
    }
  }
}
