import { version } from '../../../src/shared/version.ts'
import { ReadAnswers } from './read-answers.ts'
import { ClaudeSchemas } from './claude-operations.ts'
import { CLIENT_APIS } from './client-apis.ts'
import { ErrorSchemas } from './errors.ts'
import { AnswerHeaders } from './headers.ts'
import { type JsonSchema, anyObject, refTo } from './json-schema.ts'
import { JSON_TYPE, type Operation, type Parameter } from './operation.ts'
import { devicePaths, DeviceSchemas } from './devices.ts'
import { panelPaths, PanelSchemas } from './panel.ts'
import { Operations, RequestHeaders } from './operations.ts'
import { toResponses } from './responses.ts'

/** An OpenAPI 3.1 document: plain JSON. */
export type Description = ReturnType<typeof describeApi>

/** Describes all that the gateway serves, from the schemas and tables by which it does. */
export function describeApi() {
  return {
    openapi: '3.1.0',
    info: {
      title: 'kiro-gateway',
      version,
      summary: 'The models of a Kiro subscription in the tools that you already use.',
      description: OVERVIEW,
      license: { name: 'MIT', identifier: 'MIT' }
    },
    servers: [{ url: '/', description: 'The gateway that this was read from.' }],
    tags: TAGS,
    security: KEYS,
    paths: withOwn(toPaths(Operations)),
    components: {
      schemas: Schemas,
      headers: AnswerHeaders,
      parameters: Object.fromEntries(RequestHeaders.map((one) => [one.name, toParameter(one)])),
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'One of `PROXY_API_KEY`, or a key made with `kiro-gateway key`.'
        },
        apiKey: {
          type: 'apiKey',
          in: 'header',
          name: 'x-api-key',
          description: 'The same; either is enough.'
        }
      }
    }
  }
}

/** The panel and the sign-in of devices are described more briefly, so the type is that of the client APIs. */
function withOwn<Paths extends object>(paths: Paths): Paths {
  return { ...paths, ...devicePaths(), ...panelPaths() }
}

const KEYS = [{ bearer: [] }, { apiKey: [] }]

const OVERVIEW = [
  'Three APIs lead to the same models: OpenAI Chat Completions, OpenAI Responses and Anthropic Messages. Point a client of any of them to this gateway.',
  'A key is needed where the operator has set keys. This description, its page and the health checks need none.',
  'Errors are in the shape of the API that was called, and under paths of no API in that of OpenAI, or of Anthropic where `anthropic-version` was sent. Where `x-should-retry` is `false`, the same request will fail again. A stream that breaks ends with an error event and without its end marker, so that half an answer never looks whole.',
  'A path that is not there is answered 404 (`GW_ROUTE_UNKNOWN`), a method that it does not take 405 (`GW_METHOD_NOT_ALLOWED`) with `allow`, headers that are too large 431. WebSocket is served at `/v1/responses` and refused with 426 elsewhere. `HEAD` is served wherever `GET` is.',
  'For people there is a dashboard at `/` where the operator has it on; its own API is under `/admin/v1`.'
].join('\n\n')

const TAGS = [
  { name: 'Conversations', description: 'Ask a model. Each API reaches the same models.' },
  {
    name: 'Stored responses',
    description: 'Read, continue and delete what the Responses API has stored.'
  },
  {
    name: 'Requests',
    description: 'Look at a request without asking a model. These cost nothing.'
  },
  { name: 'Models and usage', description: 'See which models there are, and how much is left.' },
  { name: 'Operation', description: 'Health checks and metrics.' },
  { name: 'Claude Code', description: 'Paths for a Claude Code that is signed in here.' },
  { name: 'Sign-in of devices', description: 'For clients without a key.' },
  { name: 'Description', description: 'The description of this API.' },
  { name: 'Panel', description: 'The API of the panel.' }
] as const satisfies readonly {
  readonly name: Operation['tag'] | 'Panel' | 'Sign-in of devices'
  readonly description: string
}[]

const Schemas: Readonly<Record<string, JsonSchema>> = {
  LintRequest: anyObject('A request of any of the three APIs; it may be as wrong as it likes.'),
  ...Object.assign({}, ...CLIENT_APIS.map(({ schemas }) => schemas)),
  ...ReadAnswers,
  ...ClaudeSchemas,
  ...ErrorSchemas,
  ...DeviceSchemas,
  ...PanelSchemas,
  AnyObject: anyObject('An OpenAPI document.')
}

/** Operations of one path are one member. */
function toPaths(operations: readonly Operation[]) {
  const paths: Record<string, ReturnType<typeof toPath>[1]> = {}
  for (const [path, methods] of operations.map(toPath)) {
    paths[path] = { ...paths[path], ...methods }
  }
  return paths
}

function toPath(operation: Operation) {
  const { id, method, path, aliases = [], summary, access, parameters = [], request } = operation
  const also = aliases.map((alias) => `\`${alias}\``).join(', ')
  const description = operation.description + (also === '' ? '' : `\n\nAlso at ${also}.`)
  const headers = RequestHeaders.map(({ name }) => ({ $ref: `#/components/parameters/${name}` }))
  const described = {
    operationId: id,
    tags: [operation.tag],
    summary,
    description,
    ...(access === 'open' && { security: [] }),
    parameters: [...parameters.map(toParameter), ...headers],
    ...(request !== undefined && {
      requestBody: {
        required: true,
        content: { [JSON_TYPE]: { schema: refTo(request.schema), examples: request.examples } }
      }
    }),
    responses: toResponses(operation),
    ...(aliases.length > 0 && { 'x-aliases': aliases })
  }
  return [path, { [method]: described }] as const
}

function toParameter({ name, in: place, description, schema, example }: Parameter) {
  const isRequired = place === 'path'
  const shown = example === undefined ? {} : { example }
  return { name, in: place, description, ...(isRequired && { required: true }), schema, ...shown }
}
