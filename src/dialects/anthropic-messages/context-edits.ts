import { GatewayError } from '../../shared/errors.ts'
import { asJsonObject, isJsonObject, type JsonObject } from '../../shared/json.ts'
import { checkShape, invalidPart } from '../plan/json-body.ts'
import type { Block, ContentValue } from '../request/draft.ts'
import {
  type ClearThinking,
  ClearThinkingCheck,
  type ClearToolUses,
  ClearToolUsesCheck,
  type MessagesBody
} from './schema.ts'

/** One edit that changed the conversation, with tokens before what was learnt of the model. Plain data. */
export type AppliedEdit =
  | {
      readonly type: 'clear_tool_uses_20250919'
      readonly cleared_tool_uses: number
      readonly cleared_input_tokens: number
    }
  | {
      readonly type: 'clear_thinking_20251015'
      readonly cleared_thinking_turns: number
      readonly cleared_input_tokens: number
    }

export interface EditedMessages {
  readonly messages: MessagesBody['messages']
  readonly applied: readonly AppliedEdit[]
}

export type ContextEdits = NonNullable<NonNullable<MessagesBody['context_management']>['edits']>

/** Counts the tokens of a text. */
export type CountText = (text: string) => number

/** Stands for the result of a tool that was cleared, so that its call keeps its pair. */
export const CLEARED_RESULT = '[The result of this tool was cleared to save context.]'

/** Applies the context edits of a request, each to what the one before has left. Results and thinking stay in their places. */
export function editContext(
  body: MessagesBody,
  edits: ContextEdits,
  countText: CountText
): EditedMessages {
  let { messages } = body
  const applied: AppliedEdit[] = []
  const seen = new Set<unknown>()
  for (const [index, edit] of edits.entries()) {
    const path = `context_management.edits[${index}]`
    const { type } = edit
    if (seen.has(type)) throw invalidPart(`${path}.type`, 'must not be asked for twice')
    seen.add(type)
    const count = new ContextCount(body, countText)
    const done =
      type === 'clear_thinking_20251015'
        ? clearThinking(messages, checkShape(ClearThinkingCheck, edit, path), count)
        : type === 'clear_tool_uses_20250919'
          ? clearToolUses(messages, checkShape(ClearToolUsesCheck, edit, path), count)
          : refuseEdit(body.model, type, path)
    if (done === null) continue
    messages = done.messages
    applied.push(done.edit)
  }
  return { messages, applied }
}

interface DoneEdit {
  readonly messages: MessagesBody['messages']
  readonly edit: AppliedEdit
}

const MAX_TOLD_CHARS = 100

/** Claude Code stops sending an edit when a message begins with these words; the model must have no spaces. */
function refuseEdit(model: string, type: unknown, path: string): never {
  const told = model.replaceAll(/\s+/g, '-').slice(0, MAX_TOLD_CHARS)
  const name = typeof type === 'string' ? type.slice(0, MAX_TOLD_CHARS) : 'unnamed'
  throw new GatewayError('GW_BODY_INVALID', undefined, {
    message: `${told} does not support the '${name}' context management strategy. Leave it out of context_management.edits.`,
    param: `${path}.type`,
    details: { unsupported: [name] }
  })
}

const USUAL_THINKING_TURNS = 1

/** Clears thinking but for the newest turns that have some. A turn ends where the user speaks, not at results of tools. */
function clearThinking(
  messages: MessagesBody['messages'],
  { keep }: ClearThinking,
  count: ContextCount
): DoneEdit | null {
  if (keep === 'all' || (typeof keep === 'object' && keep?.type === 'all')) return null
  const kept = typeof keep === 'object' && keep !== null ? keep.value : USUAL_THINKING_TURNS
  const turns: number[][] = []
  let turn: number[] = []
  for (const [index, { role, content }] of messages.entries()) {
    if (role === 'assistant') {
      if (!blocksOf(content).some(isThinking)) continue
      if (turn.length === 0) turns.push(turn)
      turn.push(index)
    } else if (role !== 'system' && !blocksOf(content).some(isToolResult)) {
      turn = []
    }
  }
  const cleared = turns.slice(0, Math.max(0, turns.length - kept))
  if (cleared.length === 0) return null
  const places = new Set(cleared.flat())
  const { messages: edited, tokens } = replaceBlocks(messages, count, (block, index) =>
    isThinking(block) && places.has(index) ? NOTHING : block
  )
  const edit = {
    type: 'clear_thinking_20251015',
    cleared_thinking_turns: cleared.length,
    cleared_input_tokens: tokens
  } as const
  return { messages: edited, edit }
}

/** Keeps the numbers of the blocks behind it. */
const NOTHING: JsonObject = { type: 'text', text: '' }

const USUAL_TRIGGER = { type: 'input_tokens', value: 100_000 } as const
const USUAL_TOOL_USES = 3

/** Clears results of the oldest calls, and their input if that is wished. */
function clearToolUses(
  messages: MessagesBody['messages'],
  wish: ClearToolUses,
  count: ContextCount
): DoneEdit | null {
  const uses = messages.flatMap(({ content }) => blocksOf(content).filter(isToolUse))
  const keep = wish.keep?.value ?? USUAL_TOOL_USES
  const old = uses.slice(0, Math.max(0, uses.length - keep))
  const excluded = new Set<unknown>(wish.exclude_tools)
  // A client that repeats an id must not lose what it keeps.
  const kept = new Set(uses.slice(old.length).map(({ id }) => id))
  const clearable = old.filter(({ id, name }) => !excluded.has(name) && !kept.has(id))
  if (clearable.length === 0) return null
  const { type, value } = wish.trigger ?? USUAL_TRIGGER
  const size = type === 'tool_uses' ? uses.length : count.ofAll(messages)
  if (size <= value) return null
  const ids = new Set(clearable.map(({ id }) => id))
  const answered = new Set<unknown>()
  const results = replaceBlocks(messages, count, (block) => {
    if (!isToolResult(block) || !ids.has(block['tool_use_id'])) return block
    answered.add(block['tool_use_id'])
    return { ...block, content: CLEARED_RESULT }
  })
  const inputs = wish.clear_tool_inputs ?? false
  const clearsInput = (name: unknown): boolean =>
    typeof inputs === 'boolean' ? inputs : inputs.some((one) => one === name)
  const whole = replaceBlocks(results.messages, count, (block) => {
    const isCleared = isToolUse(block) && answered.has(block['id']) && clearsInput(block['name'])
    return isCleared ? { ...block, input: {} } : block
  })
  const tokens = results.tokens + whole.tokens
  if (answered.size === 0 || tokens < (wish.clear_at_least?.value ?? 0)) return null
  const edit = {
    type: 'clear_tool_uses_20250919',
    cleared_tool_uses: answered.size,
    cleared_input_tokens: tokens
  } as const
  return { messages: whole.messages, edit }
}

/** Replaces blocks of the messages, and counts the tokens that are saved. */
function replaceBlocks(
  messages: MessagesBody['messages'],
  count: ContextCount,
  replace: (block: Block, messageIndex: number) => Block
): { readonly messages: MessagesBody['messages']; readonly tokens: number } {
  let tokens = 0
  const edited = messages.map((message, index) => {
    let isChanged = false
    const content = blocksOf(message.content).map((block) => {
      const replaced = replace(block, index)
      if (replaced === block) return block
      isChanged = true
      tokens += Math.max(0, count.ofBlock(block) - count.ofBlock(replaced))
      return replaced
    })
    return isChanged ? { ...message, content } : message
  })
  return { messages: edited, tokens }
}

const TOKENS_PER_MESSAGE = 4
/** An image is not decoded here: a screenshot. */
const TOKENS_PER_IMAGE = 1500
const CHARS_PER_DOCUMENT_TOKEN = 30

/** Counts a conversation by its texts, each of them once and in full. */
class ContextCount {
  readonly #body: MessagesBody
  readonly #countText: CountText

  constructor(body: MessagesBody, countText: CountText) {
    this.#body = body
    this.#countText = countText
  }

  ofAll(messages: MessagesBody['messages']): number {
    const { system, tools } = this.#body
    let tokens = this.#ofContent(system) + this.#ofJson(tools)
    for (const { content } of messages) tokens += TOKENS_PER_MESSAGE + this.#ofContent(content)
    return tokens
  }

  ofBlock(block: Block): number {
    if (typeof block === 'string') return this.#countText(block)
    switch (block['type']) {
      case 'text':
        return this.#ofText(block['text'])
      case 'thinking':
        return this.#ofText(block['thinking'])
      case 'redacted_thinking':
        return 0
      case 'tool_use':
        return this.#ofText(block['name']) + this.#ofJson(block['input'])
      case 'tool_result':
        return this.#ofResult(block['content'])
      case 'image':
        return TOKENS_PER_IMAGE
      case 'document':
        return this.#ofDocument(block)
    }
    return this.#ofJson(block)
  }

  #ofContent(content: ContentValue): number {
    if (typeof content === 'string') return this.#countText(content)
    return (content ?? []).reduce((sum, block) => sum + this.ofBlock(block), 0)
  }

  #ofResult(content: unknown): number {
    if (!Array.isArray(content)) return this.#ofText(content)
    return content.reduce((sum: number, block: unknown) => {
      const isBlock = typeof block === 'string' || isJsonObject(block)
      return sum + (isBlock ? this.ofBlock(block) : 0)
    }, 0)
  }

  #ofDocument(block: JsonObject): number {
    const source = asJsonObject(block['source']) ?? {}
    const { type, data } = source
    if (type === 'base64' && typeof data === 'string') return data.length / CHARS_PER_DOCUMENT_TOKEN
    return this.#ofJson(block)
  }

  #ofText(text: unknown): number {
    return typeof text === 'string' ? this.#countText(text) : this.#ofJson(text)
  }

  #ofJson(value: unknown): number {
    return value === undefined || value === null ? 0 : this.#countText(JSON.stringify(value))
  }
}

function blocksOf(content: ContentValue): readonly Block[] {
  return Array.isArray(content) ? content : []
}

function isThinking(block: Block): block is JsonObject {
  if (typeof block === 'string') return false
  return block['type'] === 'thinking' || block['type'] === 'redacted_thinking'
}

function isToolUse(block: Block): block is JsonObject & { readonly id: unknown } {
  return typeof block !== 'string' && block['type'] === 'tool_use'
}

function isToolResult(block: Block): block is JsonObject {
  return typeof block !== 'string' && block['type'] === 'tool_result'
}

/** Scales what was cleared like the count of the request, which is corrected by what was learnt. */
export function toAppliedEdits(
  applied: readonly AppliedEdit[],
  scale: number
): readonly AppliedEdit[] {
  return applied.map((edit) => ({
    ...edit,
    cleared_input_tokens: Math.round(edit.cleared_input_tokens * scale)
  }))
}
