import { DIALECT_NAMES } from '../../../src/dialects/dialect.ts'
import { inJson, inPath, inQuery, inText, LOCAL, pathsOf, VERSION } from './client-api.ts'
import { ClaudeOperations } from './claude-operations.ts'
import { CLIENT_APIS } from './client-apis.ts'
import { MODEL, QUESTION } from './examples.ts'
import { oneOf, string } from './json-schema.ts'
import { type ExampleRequests, JSON_TYPE, type Operation, type Parameter } from './operation.ts'

const LINT_EXAMPLES: ExampleRequests = {
  repaired: {
    summary: 'Two turns of one role, which are joined',
    value: {
      model: MODEL,
      messages: [
        { role: 'user', content: QUESTION },
        { role: 'user', content: 'And which?' }
      ]
    }
  },
  refused: {
    summary: 'No message at all',
    value: { model: MODEL, max_tokens: 1024, messages: [] }
  }
}

const LINT: Operation = {
  ...LOCAL,
  id: 'lintRequest',
  path: '/v1/lint',
  summary: 'Check a request without sending it',
  description:
    'Shows which upstream rules a request breaks, where, and what the gateway does about it. Nothing is sent. The request may be of any API: its shape tells which, or `dialect`.',
  errors: 'asked',
  parameters: [inQuery('dialect', 'The API of the request.', oneOf(DIALECT_NAMES)), VERSION],
  request: { schema: 'LintRequest', examples: LINT_EXAMPLES },
  answers: inJson(['LintReport'], 'What there is to say, also of a request that is refused.')
}

const OF_KEY = {
  tag: 'Models and usage',
  method: 'get',
  access: 'key',
  errors: 'asked'
} as const

const READS: readonly Operation[] = [
  {
    ...OF_KEY,
    id: 'listModels',
    ...pathsOf(['/v1/models', '/models', '/anthropic/v1/models']),
    summary: 'List the models',
    description:
      "Those that the key may use, in the shape of OpenAI's list, or of Anthropic's with `anthropic-version`.",
    errorPlaces: ['any', 'key', 'account'],
    parameters: [VERSION],
    answers: inJson(['OpenAiModelList', 'AnthropicModelList'], 'The models, aliases first.')
  },
  {
    ...OF_KEY,
    id: 'getModel',
    ...pathsOf(['/v1/models/{id}', '/models/{id}', '/anthropic/v1/models/{id}']),
    summary: 'Look up a model',
    description: 'By any spelling that a request may use.',
    errorPlaces: ['any', 'key', 'model', 'account'],
    parameters: [inPath('id', 'The name of the model.', MODEL), VERSION],
    answers: inJson(['OpenAiModel', 'AnthropicModel'], 'The model.')
  },
  {
    ...OF_KEY,
    id: 'getUsage',
    ...pathsOf(['/v1/usage', '/usage']),
    summary: 'See what was used, and what is left',
    description:
      "An operator's key is told of the account and of all keys, a named key of itself alone, a client that brings a Kiro key of that account.",
    errorPlaces: ['any', 'key', 'account', 'counted'],
    parameters: [VERSION],
    answers: inJson(['AccountUsage', 'KeyUsage'], 'Of the account, or of the key that asks.')
  }
]

const STATE_READ = { tag: 'Operation', method: 'get', errors: 'asked' } as const
const OPEN = { ...STATE_READ, access: 'open', errorPlaces: ['any'] } as const

const STATE: readonly Operation[] = [
  {
    ...OPEN,
    id: 'getHealth',
    ...pathsOf(['/health', '/healthz', '/livez']),
    summary: 'Liveness',
    description: 'For health checks.',
    answers: [
      { status: 200, description: 'It lives.', content: { [JSON_TYPE]: ['Health'] } },
      { status: 503, description: 'It is shutting down.', content: { [JSON_TYPE]: ['Health'] } }
    ]
  },
  {
    ...OPEN,
    id: 'getReadiness',
    path: '/readyz',
    summary: 'Readiness',
    description: 'Says whether requests can be served, and if not, why.',
    answers: [
      { status: 200, description: 'They can.', content: { [JSON_TYPE]: ['Readiness'] } },
      { status: 503, description: 'They cannot.', content: { [JSON_TYPE]: ['Readiness'] } }
    ]
  },
  {
    ...OPEN,
    id: 'sayHello',
    path: '/api/hello',
    summary: 'Connection check of Claude Code',
    description: 'Claude Code asks for it at its start.',
    answers: inJson(['Greeting'], 'There is.')
  },
  {
    ...STATE_READ,
    id: 'getMetrics',
    path: '/metrics',
    summary: 'Metrics of all processes',
    description:
      "In Prometheus' text format; docs/metrics.md lists them. The key of `METRICS_KEY` opens them, too.",
    access: 'operator',
    errorPlaces: ['any', 'key', 'operator', 'account'],
    answers: inText(['text/plain'], 'The metrics.')
  }
]

const PAGE_HEADERS = [
  'cache-control',
  'content-security-policy',
  'x-content-type-options',
  'referrer-policy'
] as const

const FOR_SIGNED_IN = {
  tag: 'Description',
  method: 'get',
  access: 'key',
  errors: 'asked',
  errorPlaces: ['any', 'key']
} as const

const DESCRIPTION: readonly Operation[] = [
  {
    ...FOR_SIGNED_IN,
    id: 'getDescription',
    path: '/openapi.json',
    summary: 'OpenAPI document',
    description:
      'OpenAPI 3.1. It is the same for everybody and tells nothing of this gateway. A browser that is signed in to the dashboard needs no key.',
    answers: inJson(['AnyObject'], 'The description.', ['cache-control'])
  },
  {
    ...FOR_SIGNED_IN,
    id: 'readDescription',
    path: '/docs',
    summary: 'This page',
    description:
      'Without scripts, and without requests to anywhere. A browser that is signed in to the dashboard needs no key.',
    answers: inText(['text/html'], 'The page.', PAGE_HEADERS)
  },
  {
    ...FOR_SIGNED_IN,
    id: 'listPages',
    path: '/docs/guides',
    summary: 'Guides and reference',
    description: 'The page that leads to all others, for people.',
    answers: inText(['text/html'], 'The page.', PAGE_HEADERS)
  },
  {
    ...FOR_SIGNED_IN,
    id: 'readLlmsText',
    path: '/llms.txt',
    summary: 'Pages, for programs',
    description:
      'What a program should know of this gateway, and the addresses of all pages in Markdown.',
    answers: inText(['text/plain'], 'The list.', ['cache-control'])
  },
  ...(['/docs/{page}', '/docs/guides/{page}'] as const).map(
    (path): Operation => ({
      ...FOR_SIGNED_IN,
      id: path === '/docs/{page}' ? 'readPage' : 'readGuide',
      path,
      summary: path === '/docs/{page}' ? 'A page of the reference' : 'A guide',
      description:
        'For people, or Markdown if the name ends with `.md`. Examples have the address at which the gateway was asked.',
      errorPlaces: ['any', 'key', 'no-route'],
      parameters: [
        inPath('page', 'Name of the page.', path === '/docs/{page}' ? 'settings.md' : 'team.md')
      ],
      answers: inText(['text/html', 'text/markdown'], 'The page.', PAGE_HEADERS)
    })
  )
]

/** All that is described, in the order in which it is read. */
export const Operations: readonly Operation[] = [
  ...CLIENT_APIS.map(({ conversation }) => conversation),
  ...CLIENT_APIS.flatMap(({ counter }) => counter ?? []),
  ...CLIENT_APIS.flatMap(({ others = [] }) => others),
  LINT,
  ...READS,
  ...STATE,
  ...ClaudeOperations,
  ...DESCRIPTION
]

/** The headers that any request may have; the second means something to requests with a body. */
export const RequestHeaders: readonly Parameter[] = [
  {
    name: 'x-request-id',
    in: 'header',
    description:
      'Names the request in the answer and in the log: up to 128 of `A-Z a-z 0-9 . _ : -`.',
    schema: string('Made up where it is missing.')
  },
  {
    name: 'traceparent',
    in: 'header',
    description: 'Of which trace the request is a part, where the operator has traces on.',
    schema: { type: 'string' }
  }
]

/** The requests that are shown and can be sent. */
export function examplesOf({ request }: Operation): ExampleRequests {
  return request?.examples ?? {}
}
