import { Compile } from 'typebox/schema'
import { isJsonObject } from '../../shared/json.ts'
import { type Static, Type } from '../../shared/schema-type.ts'
import {
  Content,
  NamedFunction,
  OpenObject,
  optional,
  type Signs,
  Tokens
} from '../request/shape.ts'

const FunctionCall = Type.Object({
  name: Type.String({ minLength: 1 }),
  /** JSON text; some clients send the object itself. */
  arguments: Type.Optional(Type.Unknown())
})

const ToolCall = Type.Object({
  id: optional(Type.String()),
  function: optional(FunctionCall),
  custom: optional(
    Type.Object({ name: Type.String({ minLength: 1 }), input: optional(Type.String()) })
  )
})

const Message = Type.Object({
  role: optional(Type.String()),
  content: Type.Optional(Content),
  name: optional(Type.String()),
  refusal: optional(Type.String()),
  tool_calls: optional(Type.Array(ToolCall)),
  tool_call_id: optional(Type.String()),
  function_call: optional(FunctionCall)
})

const ToolChoice = Type.Union([
  Type.Enum(['none', 'auto', 'required', 'any']),
  Type.Object({
    type: Type.String(),
    name: optional(Type.String()),
    function: optional(Type.Object({ name: Type.String() })),
    custom: optional(Type.Object({ name: Type.String() })),
    allowed_tools: optional(
      Type.Object({ mode: optional(Type.String()), tools: optional(Type.Array(OpenObject)) })
    )
  })
])

const Body = Type.Object({
  model: Type.String({ minLength: 1 }),
  messages: Type.Array(Message, { minItems: 1 }),
  tools: optional(Type.Array(OpenObject)),
  functions: optional(Type.Array(NamedFunction)),
  tool_choice: optional(ToolChoice),
  function_call: optional(
    Type.Union([Type.Enum(['none', 'auto']), Type.Object({ name: Type.String() })])
  ),
  parallel_tool_calls: optional(Type.Boolean()),
  stream: optional(Type.Boolean()),
  stream_options: optional(Type.Object({ include_usage: optional(Type.Boolean()) })),
  stop: optional(Type.Union([Type.String(), Type.Array(Type.String())])),
  n: optional(Type.Integer({ minimum: 1 })),
  max_tokens: optional(Tokens),
  max_completion_tokens: optional(Tokens),
  reasoning_effort: optional(Type.String()),
  reasoning: optional(Type.Object({ effort: optional(Type.String()) })),
  response_format: optional(
    Type.Object({
      type: Type.String(),
      json_schema: optional(Type.Object({ schema: Type.Optional(Type.Unknown()) }))
    })
  ),
  web_search_options: optional(OpenObject),
  user: optional(Type.String()),
  prompt_cache_key: optional(Type.String())
})

export type ChatBody = Static<typeof Body>
export type ChatMessage = Static<typeof Message>

export const ChatBodyCheck = Compile(Body)

const OWN_ROLES: readonly unknown[] = ['tool', 'function', 'developer']
const OWN_BLOCKS: readonly unknown[] = ['image_url', 'input_audio', 'file', 'refusal']
const OWN_CHOICES: readonly unknown[] = ['function', 'allowed_tools']

export const ChatSigns: Signs = {
  members: [
    ...'functions function_call stream_options response_format n stop max_completion_tokens'.split(
      ' '
    ),
    ...'parallel_tool_calls reasoning_effort frequency_penalty presence_penalty'.split(' '),
    ...'logit_bias logprobs seed store user'.split(' ')
  ],
  isTool: ({ type, function: nested }) => nested !== undefined || type === 'function',
  isMessage: ({ role, tool_calls: calls, tool_call_id: id }, types) =>
    calls !== undefined ||
    id !== undefined ||
    OWN_ROLES.includes(role) ||
    types.some((type) => OWN_BLOCKS.includes(type)),
  isToolChoice: (choice) =>
    typeof choice === 'string' || (isJsonObject(choice) && OWN_CHOICES.includes(choice['type']))
}
