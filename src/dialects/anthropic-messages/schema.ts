import { Compile } from 'typebox/schema'
import { isJsonObject } from '../../shared/json.ts'
import { type Static, Type } from '../../shared/schema-type.ts'
import { Content, OpenObject, optional, type Signs, TextContent, Tokens } from '../request/shape.ts'

const Message = Type.Object({
  role: optional(Type.String()),
  content: Type.Optional(Content),
  /** `next_user_message`: the system message is only for the turn before it. */
  clear_at: optional(Type.String())
})

const Tool = Type.Object({
  type: optional(Type.String()),
  name: Type.String({ minLength: 1 }),
  description: optional(Type.String()),
  input_schema: Type.Optional(Type.Unknown())
})

const OutputFormat = Type.Object({
  type: Type.String(),
  schema: Type.Optional(Type.Unknown())
})

/** More kinds than exist; bounds what a client repeats. */
const MAX_EDITS = 16

const TokenTrigger = Type.Object({ type: Type.Enum(['input_tokens']), value: Tokens })

const ClearThinkingEdit = Type.Object({
  keep: optional(
    Type.Union([
      Type.Enum(['all']),
      Type.Object({ type: Type.Enum(['all']) }),
      Type.Object({ type: Type.Enum(['thinking_turns']), value: Type.Integer({ minimum: 1 }) })
    ])
  )
})

const ClearToolUsesEdit = Type.Object({
  trigger: optional(Type.Object({ type: Type.Enum(['input_tokens', 'tool_uses']), value: Tokens })),
  keep: optional(Type.Object({ type: Type.Enum(['tool_uses']), value: Tokens })),
  clear_at_least: optional(TokenTrigger),
  exclude_tools: optional(Type.Array(Type.String())),
  clear_tool_inputs: optional(Type.Union([Type.Boolean(), Type.Array(Type.String())]))
})

/** Members that mean something here; all others are ignored. */
const Body = Type.Object({
  model: Type.String({ minLength: 1 }),
  messages: Type.Array(Message, { minItems: 1 }),
  system: optional(TextContent),
  tools: optional(Type.Array(OpenObject)),
  tool_choice: optional(
    Type.Object({
      type: Type.Enum(['auto', 'any', 'tool', 'none']),
      name: optional(Type.String()),
      disable_parallel_tool_use: optional(Type.Boolean())
    })
  ),
  max_tokens: optional(Tokens),
  stop_sequences: optional(Type.Array(Type.String())),
  stream: optional(Type.Boolean()),
  thinking: optional(
    Type.Object({
      type: Type.Enum(['enabled', 'adaptive', 'between_tools', 'disabled']),
      budget_tokens: optional(Tokens),
      display: optional(Type.String())
    })
  ),
  output_config: optional(
    Type.Object({ effort: optional(Type.String()), format: optional(OutputFormat) })
  ),
  output_format: optional(OutputFormat),
  metadata: optional(Type.Object({ user_id: optional(Type.String()) })),
  context_management: optional(
    Type.Object({ edits: optional(Type.Array(OpenObject, { maxItems: MAX_EDITS })) })
  ),
  thread: Type.Optional(Type.Unknown()),
  safeguards: Type.Optional(Type.Unknown())
})

export type MessagesBody = Static<typeof Body>
export type MessagesMessage = Static<typeof Message>
export type ClearThinking = Static<typeof ClearThinkingEdit>
export type ClearToolUses = Static<typeof ClearToolUsesEdit>

export const MessagesBodyCheck = Compile(Body)
export const ToolCheck = Compile(Tool)
export const ClearThinkingCheck = Compile(ClearThinkingEdit)
export const ClearToolUsesCheck = Compile(ClearToolUsesEdit)

const OWN_BLOCKS: readonly unknown[] =
  'tool_use tool_result thinking redacted_thinking image document'.split(' ')

export const MessagesSigns: Signs = {
  members: [
    ...'system stop_sequences thinking output_config output_format anthropic_version'.split(' '),
    ...'anthropic_beta context_management mcp_servers container top_k'.split(' ')
  ],
  isTool: ({ input_schema: schema }) => schema !== undefined,
  isMessage: (_message, types) => types.some((type) => OWN_BLOCKS.includes(type)),
  isToolChoice: (choice) =>
    isJsonObject(choice) && (choice['type'] === 'any' || choice['type'] === 'tool')
}
