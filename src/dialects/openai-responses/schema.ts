import { Compile } from 'typebox/schema'
import { type Static, Type } from '../../shared/schema-type.ts'
import { Content, OpenObject, optional, Tokens } from '../request/shape.ts'

const ToolChoice = Type.Union([
  Type.Enum(['none', 'auto', 'required', 'any']),
  Type.Object({
    type: Type.String(),
    name: optional(Type.String()),
    namespace: optional(Type.String()),
    function: optional(Type.Object({ name: Type.String() })),
    mode: optional(Type.String()),
    tools: optional(Type.Array(OpenObject))
  })
])

const Format = Type.Object({
  type: Type.String(),
  schema: Type.Optional(Type.Unknown()),
  json_schema: optional(Type.Object({ schema: Type.Optional(Type.Unknown()) }))
})

const Body = Type.Object({
  model: optional(Type.String({ minLength: 1 })),
  input: Type.Union([Type.String(), Type.Array(Type.Union([Type.String(), OpenObject]))]),
  instructions: optional(Type.String()),
  tools: optional(Type.Array(OpenObject)),
  tool_choice: optional(ToolChoice),
  parallel_tool_calls: optional(Type.Boolean()),
  stream: optional(Type.Boolean()),
  store: optional(Type.Boolean()),
  include: Type.Optional(Type.Unknown()),
  background: optional(Type.Boolean()),
  previous_response_id: optional(Type.String()),
  conversation: Type.Optional(Type.Unknown()),
  prompt: Type.Optional(Type.Unknown()),
  max_output_tokens: optional(Tokens),
  max_tool_calls: optional(Tokens),
  reasoning: optional(
    Type.Object({ effort: optional(Type.String()), summary: optional(Type.String()) })
  ),
  text: optional(Type.Object({ format: optional(Format), verbosity: optional(Type.String()) })),
  response_format: optional(Format),
  temperature: optional(Type.Number()),
  top_p: optional(Type.Number()),
  presence_penalty: optional(Type.Number()),
  frequency_penalty: optional(Type.Number()),
  top_logprobs: optional(Type.Integer()),
  truncation: optional(Type.String()),
  service_tier: optional(Type.String()),
  metadata: optional(OpenObject),
  client_metadata: optional(OpenObject),
  user: optional(Type.String()),
  safety_identifier: optional(Type.String()),
  prompt_cache_key: optional(Type.String())
})

export type ResponsesBody = Static<typeof Body>

export const ResponsesBodyCheck = Compile(Body)

const Ids = { id: optional(Type.String()), call_id: optional(Type.String()) }

const Named = {
  name: Type.String({ minLength: 1 }),
  namespace: optional(Type.String())
}

export const Items = {
  any: Compile(Type.Object({ type: optional(Type.String()) })),
  message: Compile(Type.Object({ role: optional(Type.String()), content: Type.Optional(Content) })),
  functionCall: Compile(
    Type.Object({
      ...Ids,
      ...Named,
      /** JSON text; some clients send the object itself. */
      arguments: Type.Optional(Type.Unknown())
    })
  ),
  customCall: Compile(Type.Object({ ...Ids, ...Named, input: optional(Type.String()) })),
  searchCall: Compile(Type.Object({ ...Ids, arguments: Type.Optional(Type.Unknown()) })),
  output: Compile(
    Type.Object({
      ...Ids,
      status: optional(Type.String()),
      output: Type.Optional(Type.Unknown())
    })
  ),
  toolList: Compile(Type.Object({ ...Ids, tools: optional(Type.Array(OpenObject)) })),
  vendorCall: Compile(Type.Object(Ids)),
  reference: Compile(Type.Object({ id: Type.String({ minLength: 1 }) }))
} as const

const Described = {
  name: Type.String({ minLength: 1 }),
  description: optional(Type.String())
}

export const Tools = {
  any: Compile(Type.Object({ type: optional(Type.String()) })),
  custom: Compile(
    Type.Object({
      ...Described,
      format: optional(
        Type.Object({
          type: optional(Type.String()),
          syntax: optional(Type.String()),
          definition: optional(Type.String())
        })
      )
    })
  ),
  namespace: Compile(Type.Object({ ...Described, tools: optional(Type.Array(OpenObject)) })),
  search: Compile(
    Type.Object({
      description: optional(Type.String()),
      execution: optional(Type.String()),
      parameters: Type.Optional(Type.Unknown())
    })
  )
} as const
