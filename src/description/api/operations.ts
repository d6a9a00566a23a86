import { DIALECT_NAMES, Dialects } from '../../dialects/dialect.ts'
import { oneOf, string } from '../schema/json-schema.ts'
import { type Answer, JSON_TYPE, type Operation, type Parameter, STREAM_TYPE } from './operation.ts'
import {
  ChatExamples,
  CountExamples,
  type ExampleRequests,
  InputCountExamples,
  LintExamples,
  MessagesExamples,
  ResponsesExamples
} from './example-requests.ts'

const [CHAT, RESPONSES, MESSAGES] = [
  Dialects['openai-chat'].paths,
  Dialects['openai-responses'].paths,
  Dialects['anthropic-messages'].paths
]

const VERSION: Parameter = {
  name: 'anthropic-version',
  in: 'header',
  description: "Whatever it says, answers and errors are in the shapes of Anthropic's API.",
  schema: { type: 'string' }
}

const CONVERSATION = {
  tag: 'Conversations',
  method: 'post',
  access: 'key',
  errorPlaces: ['any', 'key', 'body', 'model', 'account', 'answer', 'counted', 'waiting']
} as const

/** The answer of a conversation, in one piece and as a stream. */
function answersOf(whole: string, event: string): readonly Answer[] {
  return [
    {
      status: 200,
      description: 'The answer: in one piece, or with `stream` as server-sent events.',
      content: { [JSON_TYPE]: [whole], [STREAM_TYPE]: [event] },
      headers: [
        'x-kiro-gateway-repairs',
        'x-kiro-gateway-model',
        'server-timing',
        'cache-control',
        'x-accel-buffering'
      ]
    }
  ]
}

function inJson(schemas: readonly string[], description: string): readonly Answer[] {
  return [{ status: 200, description, content: { [JSON_TYPE]: schemas } }]
}

const CONVERSATIONS: readonly Operation[] = [
  {
    ...CONVERSATION,
    id: 'createChatCompletion',
    ...pathsOf(CHAT),
    summary: "OpenAI's Chat Completions",
    description:
      'Members that are not listed are ignored. What the upstream would refuse is repaired; `x-kiro-gateway-repairs` says what.',
    errors: 'openai-chat',
    request: { schema: 'ChatRequest', examples: ChatExamples },
    answers: answersOf('ChatCompletion', 'ChatStreamEvent')
  },
  {
    ...CONVERSATION,
    id: 'createResponse',
    ...pathsOf(RESPONSES),
    summary: "OpenAI's Responses",
    description:
      'Send the whole conversation with each request: only items of answers with `store` are kept, for a time. An item `{"type":"compaction_trigger"}` at the end has the conversation summed up.',
    errors: 'openai-responses',
    request: { schema: 'ResponsesRequest', examples: ResponsesExamples },
    answers: answersOf('Response', 'ResponsesStreamEvent')
  },
  {
    ...CONVERSATION,
    id: 'createMessage',
    ...pathsOf(MESSAGES),
    summary: "Anthropic's Messages",
    description:
      'Members that are not listed, `anthropic-version`, `anthropic-beta` and `?beta=true` are ignored. What the upstream would refuse is repaired; `x-kiro-gateway-repairs` says what.',
    errors: 'anthropic-messages',
    parameters: [VERSION],
    request: { schema: 'MessagesRequest', examples: MessagesExamples },
    answers: answersOf('Message', 'MessagesStreamEvent')
  }
]

const LOCAL = {
  tag: 'Requests',
  method: 'post',
  access: 'key',
  errorPlaces: ['any', 'key', 'body', 'model', 'counted', 'waiting']
} as const

const REQUESTS: readonly Operation[] = [
  {
    ...LOCAL,
    id: 'countTokens',
    ...pathsOf(MESSAGES.map((path) => `${path}/count_tokens`)),
    summary: 'How many tokens a request has',
    description: 'An estimate that follows what the upstream has counted of other requests.',
    errors: 'anthropic-messages',
    parameters: [VERSION],
    request: { schema: 'MessagesRequest', examples: CountExamples },
    answers: inJson(['TokenCount'], 'The estimate.')
  },
  {
    ...LOCAL,
    id: 'countInputTokens',
    ...pathsOf(RESPONSES.map((path) => `${path}/input_tokens`)),
    summary: 'The same of a Responses request',
    description: 'An estimate that follows what the upstream has counted of other requests.',
    errors: 'openai-responses',
    request: { schema: 'ResponsesRequest', examples: InputCountExamples },
    answers: inJson(['InputTokenCount'], 'The estimate.')
  },
  {
    ...LOCAL,
    id: 'lintRequest',
    path: '/v1/lint',
    summary: 'What becomes of a request',
    description:
      'Says which rules of the upstream a request breaks, where, and what the gateway does about it. Nothing is sent. The request may be of any API: its shape tells which, or `dialect`.',
    errors: 'asked',
    parameters: [
      {
        name: 'dialect',
        in: 'query',
        description: 'The API of the request.',
        schema: oneOf(DIALECT_NAMES)
      },
      VERSION
    ],
    request: { schema: 'LintRequest', examples: LintExamples },
    answers: inJson(['LintReport'], 'What there is to say, also of a request that is refused.')
  }
]

const READS: readonly Operation[] = [
  {
    id: 'listModels',
    tag: 'Models and usage',
    method: 'get',
    ...pathsOf(['/v1/models', '/models', '/anthropic/v1/models']),
    summary: 'The models that a key may use',
    description: "In the shape of OpenAI's list, or of Anthropic's with `anthropic-version`.",
    access: 'key',
    errors: 'asked',
    errorPlaces: ['any', 'key', 'account'],
    parameters: [VERSION],
    answers: inJson(['OpenAiModelList', 'AnthropicModelList'], 'The models, aliases first.')
  },
  {
    id: 'getModel',
    tag: 'Models and usage',
    method: 'get',
    ...pathsOf(['/v1/models/{id}', '/models/{id}', '/anthropic/v1/models/{id}']),
    summary: 'One model',
    description: 'By any spelling that a request may use.',
    access: 'key',
    errors: 'asked',
    errorPlaces: ['any', 'key', 'model', 'account'],
    parameters: [
      {
        name: 'id',
        in: 'path',
        description: 'The name of the model.',
        schema: { type: 'string' },
        example: 'claude-sonnet-5.5'
      },
      VERSION
    ],
    answers: inJson(['OpenAiModel', 'AnthropicModel'], 'The model.')
  },
  {
    id: 'getUsage',
    tag: 'Models and usage',
    method: 'get',
    ...pathsOf(['/v1/usage', '/usage']),
    summary: 'What was used of what may be used',
    description:
      "An operator's key is told of the account and of all keys, a named key of itself alone, a client that brings a Kiro key of that account.",
    access: 'key',
    errors: 'asked',
    errorPlaces: ['any', 'key', 'account', 'counted'],
    parameters: [VERSION],
    answers: inJson(['AccountUsage', 'KeyUsage'], 'Of the account, or of the key that asks.')
  }
]

const OPEN = { method: 'get', access: 'open', errors: 'asked', errorPlaces: ['any'] } as const

const STATE: readonly Operation[] = [
  {
    ...OPEN,
    id: 'getHealth',
    tag: 'Operation',
    ...pathsOf(['/health', '/healthz', '/livez']),
    summary: 'Whether the gateway lives',
    description: 'For health checks.',
    answers: [
      { status: 200, description: 'It lives.', content: { [JSON_TYPE]: ['Health'] } },
      { status: 503, description: 'It is shutting down.', content: { [JSON_TYPE]: ['Health'] } }
    ]
  },
  {
    ...OPEN,
    id: 'getReadiness',
    tag: 'Operation',
    path: '/readyz',
    summary: 'Whether requests can be served',
    description: 'And if not, why.',
    answers: [
      { status: 200, description: 'They can.', content: { [JSON_TYPE]: ['Readiness'] } },
      { status: 503, description: 'They cannot.', content: { [JSON_TYPE]: ['Readiness'] } }
    ]
  },
  {
    ...OPEN,
    id: 'sayHello',
    tag: 'Operation',
    path: '/api/hello',
    summary: 'Whether there is a way to the gateway',
    description: 'Claude Code asks for it when it starts.',
    answers: inJson(['Greeting'], 'There is.')
  },
  {
    id: 'getMetrics',
    tag: 'Operation',
    method: 'get',
    path: '/metrics',
    summary: 'Metrics of all processes',
    description:
      "In Prometheus' text format; docs/metrics.md lists them. The key of `METRICS_KEY` opens them, too.",
    access: 'operator',
    errors: 'asked',
    errorPlaces: ['any', 'key', 'operator', 'account'],
    answers: [{ status: 200, description: 'The metrics.', content: { 'text/plain': 'text' } }]
  }
]

const FOR_SIGNED_IN = {
  method: 'get',
  access: 'key',
  errors: 'asked',
  errorPlaces: ['any', 'key']
} as const

const DESCRIPTION: readonly Operation[] = [
  {
    ...FOR_SIGNED_IN,
    id: 'getDescription',
    tag: 'Description',
    path: '/openapi.json',
    summary: 'This description',
    description:
      'OpenAPI 3.1. It is the same for everybody and tells nothing of this gateway. A browser that is signed in to the dashboard needs no key.',
    answers: [
      {
        status: 200,
        description: 'The description.',
        content: { [JSON_TYPE]: ['AnyObject'] },
        headers: ['cache-control']
      }
    ]
  },
  {
    ...FOR_SIGNED_IN,
    id: 'readDescription',
    tag: 'Description',
    path: '/docs',
    summary: 'This description as a page',
    description:
      'Without scripts, and without requests to anywhere. A browser that is signed in to the dashboard needs no key.',
    answers: [
      {
        status: 200,
        description: 'The page.',
        content: { 'text/html': 'text' },
        headers: [
          'cache-control',
          'content-security-policy',
          'x-content-type-options',
          'referrer-policy'
        ]
      }
    ]
  }
]

/** All that is described, in the order in which it is read. */
export const Operations: readonly Operation[] = [
  ...CONVERSATIONS,
  ...REQUESTS,
  ...READS,
  ...STATE,
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

/** The first leads to it by the name that clients use, the others for those that leave something out. */
function pathsOf([path = '', ...aliases]: readonly string[]): Pick<Operation, 'path' | 'aliases'> {
  return { path, aliases }
}

/** The requests that are shown and can be sent. */
export function examplesOf({ request }: Operation): ExampleRequests {
  return request?.examples ?? {}
}
