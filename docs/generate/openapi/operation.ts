import type { DialectName } from '../../../src/dialects/dialect.ts'
import type { ErrorPlace } from './errors.ts'
import type { JsonSchema } from './json-schema.ts'

/** One thing that a client may ask for, from which its part of the description is made. */
export interface Operation {
  /** Names it in programs that are made of the description. */
  readonly id: string
  readonly tag: Tag
  readonly method: 'get' | 'post' | 'delete'
  /** In OpenAPI's form: `/v1/models/{id}`. */
  readonly path: string
  /** Further paths that lead to the same. */
  readonly aliases?: readonly string[]
  readonly summary: string
  readonly description: string
  readonly access: 'open' | 'key' | 'operator'
  /** The API in whose words its errors are; `asked`: as the headers of the request say. */
  readonly errors: DialectName | 'asked'
  readonly errorPlaces: readonly ErrorPlace[]
  readonly parameters?: readonly Parameter[]
  readonly request?: RequestBody
  readonly answers: readonly Answer[]
}

export type Tag =
  | 'Conversations'
  | 'Stored responses'
  | 'Requests'
  | 'Models and usage'
  | 'Operation'
  | 'Claude Code'
  | 'Description'

export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly description: string
  readonly schema: JsonSchema
  readonly example?: string
}

interface RequestBody {
  /** The name of its schema. */
  readonly schema: string
  readonly examples: ExampleRequests
}

/** Requests as they may be sent, by name; a test sends each to a gateway. */
export type ExampleRequests = Readonly<Record<string, Example>>

interface Example {
  readonly summary: string
  readonly value: object
}

/** An answer that is no error. */
export interface Answer {
  readonly status: number
  readonly description: string
  /** By content type: the names of schemas, or plain text. */
  readonly content: Readonly<Record<string, readonly string[] | 'text'>>
  /** Names of headers that it may have beside those of every answer. */
  readonly headers?: readonly string[]
}

export const JSON_TYPE = 'application/json'
export const STREAM_TYPE = 'text/event-stream'

/** Content that is JSON of one schema. */
export function jsonContent(schema: JsonSchema) {
  return { [JSON_TYPE]: { schema } }
}
