import { appendPieces, callText, resultText } from '../../kiro/conversation/tool-turns.ts'
import type { Repairs } from '../../kiro/rules/repairs.ts'
import {
  isBlank,
  joinText,
  type KeptReasoning,
  type Message,
  type Role,
  type Source,
  type ToolCall,
  type ToolDefinition,
  type ToolResult
} from '../../kiro/wire/message.ts'
import type { UpstreamDocument, UpstreamImage } from '../../kiro/wire/payload.ts'
import { isJsonObject, type JsonObject } from '../../shared/json.ts'
import { checkShape } from '../plan/json-body.ts'
import { NamedFunctionCheck } from './shape.ts'

export class MessageDraft {
  readonly role: Role
  readonly images: UpstreamImage[] = []
  readonly documents: UpstreamDocument[] = []
  readonly toolCalls: ToolCall[] = []
  readonly toolResults: ToolResult[] = []
  reasoning: KeptReasoning | null | undefined
  #text = ''
  #endsWithParagraph = false
  readonly #endNotes: string[] = []

  constructor(role: Role) {
    this.role = role
  }

  /** Text blocks continue each other without a separator, as in the vendors' APIs. */
  addText(text: string): void {
    if (text === '') return
    this.#text = this.#endsWithParagraph ? joinText(this.#text, text, '\n\n') : this.#text + text
    this.#endsWithParagraph = false
  }

  addParagraph(text: string): void {
    if (isBlank(text)) return
    this.#text = joinText(this.#text, text, '\n\n')
    this.#endsWithParagraph = true
  }

  addEndNote(text: string): void {
    this.#endNotes.push(text)
  }

  adopt({ images, documents }: Pick<MessageDraft, 'images' | 'documents'>): void {
    this.images.push(...images)
    this.documents.push(...documents)
  }

  toText(): string {
    const pieces = [...this.toolCalls.map(callText), ...this.toolResults.map(resultText)]
    return appendPieces(this.#textWithNotes(), pieces)
  }

  toMessage(source?: string): Message {
    const { role, images, documents, toolCalls, toolResults, reasoning } = this
    const text = this.#textWithNotes()
    const message = { role, text, images, toolCalls, toolResults, source }
    return {
      ...message,
      ...(documents.length > 0 && { documents }),
      ...(reasoning !== undefined && { reasoning })
    }
  }

  #textWithNotes(): string {
    if (this.#endNotes.length === 0) return this.#text
    return joinText(this.#text, this.#endNotes.join('\n\n'), '\n\n')
  }
}

const PLACED = Symbol('placed document')

/** A document in its final form: sent natively, or a note behind its message's text. */
export type PlacedDocument =
  | { readonly document: UpstreamDocument; readonly context: string }
  | { readonly note: string }

interface PlacedBlock extends JsonObject {
  readonly [PLACED]: PlacedDocument
}

/** Makes a block of a type that no client can write. */
export function toPlacedBlock(placed: PlacedDocument): JsonObject {
  const block: PlacedBlock = { type: 'document', source: {}, [PLACED]: placed }
  return block
}

export function placedDocumentOf(block: JsonObject): PlacedDocument | undefined {
  return isPlaced(block) ? block[PLACED] : undefined
}

function isPlaced(block: JsonObject): block is PlacedBlock {
  return PLACED in block
}

/**
 * Takes only what precedes the first turn as system text: moving later messages there would change the
 * first bytes of all following requests, and the upstream's cache would miss (kiro-protocol §4.8 step 1).
 */
export class SortedMessages {
  readonly systemParts: string[] = []
  readonly messages: Message[] = []
  readonly #repairs: Repairs

  constructor(repairs: Repairs) {
    this.#repairs = repairs
  }

  get isAtSystemText(): boolean {
    return this.messages.length === 0
  }

  add(role: string | null | undefined, draft: MessageDraft, source: string): void {
    switch (role ?? '') {
      case 'system':
      case 'developer':
        if (this.isAtSystemText) {
          this.systemParts.push(draft.toText())
          break
        }
        this.#repairs.note('system-as-user', source)
        this.messages.push(draft.toMessage(source))
        break
      case 'assistant':
      case 'user':
        this.messages.push(draft.toMessage(source))
        break
      default:
        this.#repairs.note('role-unknown', `${source}.role`)
        this.messages.push(draft.toMessage(source))
    }
  }
}

export type ContentValue = string | null | undefined | readonly Block[]

export type Block = string | JsonObject

export interface BlockContext {
  readonly draft: MessageDraft
  readonly path: string
  readonly repairs: Repairs
  /** Unreadable documents become notes instead of refusals. */
  readonly isInToolResult: boolean
  readonly level: number
  readonly readBlock: (block: Block, context: BlockContext) => void
}

/** Parses JSON text and wraps what is not an object (kiro-protocol §4.5), so that nothing is lost or guessed. */
export function toToolInput(input: unknown, repairs: Repairs, source?: Source): JsonObject {
  if (input === undefined || input === null) return {}
  let value = input
  if (typeof input === 'string') {
    if (isBlank(input)) return {}
    try {
      value = JSON.parse(input)
    } catch {
      repairs.note('tool-arguments-wrapped', source)
      return { _raw: input } // arguments that were cut short are still what the model said
    }
  }
  if (isJsonObject(value)) return value
  repairs.note('tool-arguments-wrapped', source)
  return { value }
}

/** @throws {GatewayError} GW_BODY_INVALID */
export function readFunction(tool: JsonObject, path: string): ToolDefinition {
  const { function: nested } = tool
  const [named, source] = isJsonObject(nested) ? [nested, `${path}.function`] : [tool, path]
  const checked = checkShape(NamedFunctionCheck, named, source)
  const { name, description, parameters, input_schema: schema } = checked
  return {
    name,
    description: description ?? '',
    schema: parameters ?? schema ?? { type: 'object', properties: {} },
    source,
    schemaSource: `${source}.${parameters || !schema ? 'parameters' : 'input_schema'}`
  }
}
