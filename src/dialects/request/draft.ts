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
import { checkShape, NamedFunctionCheck } from './shape.ts'

/** One message while its blocks are read. */
export class MessageDraft {
  readonly role: Role
  readonly images: UpstreamImage[] = []
  readonly documents: UpstreamDocument[] = []
  readonly toolCalls: ToolCall[] = []
  readonly toolResults: ToolResult[] = []
  /** That of the last block of reasoning, see `Message`. */
  reasoning: KeptReasoning | null | undefined
  #text = ''
  #endsWithParagraph = false
  readonly #endNotes: string[] = []

  constructor(role: Role) {
    this.role = role
  }

  get text(): string {
    return this.#text
  }

  /** Text blocks continue each other without a separator, as the vendors' own APIs read them. */
  addText(text: string): void {
    if (text === '') return
    this.#text = this.#endsWithParagraph ? joinText(this.#text, text, '\n\n') : this.#text + text
    this.#endsWithParagraph = false
  }

  /** Adds a paragraph, set apart from the text around it. */
  addParagraph(text: string): void {
    if (isBlank(text)) return
    this.#text = joinText(this.#text, text, '\n\n')
    this.#endsWithParagraph = true
  }

  /** Stands behind all text, wherever in the message it was. */
  addEndNote(text: string): void {
    this.#endNotes.push(text)
  }

  /** Adopts images and documents of content inside content, which have no words. */
  adopt({ images, documents }: Pick<MessageDraft, 'images' | 'documents'>): void {
    this.images.push(...images)
    this.documents.push(...documents)
  }

  /** Everything but images and documents, in words: for content inside content, which must be text. */
  toText(): string {
    const pieces = [...this.toolCalls.map(callText), ...this.toolResults.map(resultText)]
    return appendPieces(this.#textWithNotes(), pieces)
  }

  /** `source` is the path of the message in the client's body. */
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

/** Final form of a document: sent natively, or a note behind the text of its message. */
export type PlacedDocument =
  | { readonly document: UpstreamDocument; readonly context: string }
  | { readonly note: string }

interface PlacedBlock extends JsonObject {
  readonly [PLACED]: PlacedDocument
}

/** A block that no client can write, and otherwise looks like one of a client's. */
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
 * The messages of a request, sorted into system text and turns as they are read. Only what stands before the first turn
 * is system text: moved there from further down, each new message would change the first bytes of all requests that
 * follow, and nothing of the conversation would be found in the upstream's cache (kiro-protocol §4.8 step 1).
 */
export class SortedMessages {
  readonly systemParts: string[] = []
  readonly messages: Message[] = []
  readonly #repairs: Repairs

  constructor(repairs: Repairs) {
    this.#repairs = repairs
  }

  /** True while a system message still belongs to the system text. */
  get isAtSystemText(): boolean {
    return this.messages.length === 0
  }

  /** `source` is the path of the message in the client's body. */
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

/** Content of a message: text, or a list of text and typed blocks. */
export type ContentValue = string | null | undefined | readonly Block[]

/** A list may hold bare text too. */
export type Block = string | JsonObject

/** Place of a block, and what it belongs to. */
export interface BlockContext {
  readonly draft: MessageDraft
  /** From the body's root, for error messages. */
  readonly path: string
  readonly repairs: Repairs
  /** Unreadable documents are noted there instead of refused. */
  readonly isInToolResult: boolean
  /** Blocks around it; 0 in the message itself. */
  readonly level: number
  /** Reads a block inside a block. */
  readonly readBlock: (block: Block, context: BlockContext) => void
}

/**
 * The arguments of a call as the object that the upstream wants (kiro-protocol §4.5). Objects come as they
 * are or as JSON text; what is neither is wrapped, so that nothing is lost and nothing is guessed.
 */
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

/**
 * A function tool of OpenAI's APIs: nested as Chat Completions has it, or flat as Responses does, and Cursor and others.
 *
 * @throws {GatewayError} GW_BODY_INVALID
 */
export function readFunction(tool: JsonObject, path: string): ToolDefinition {
  const { function: nested } = tool
  const [named, source] = isJsonObject(nested) ? [nested, `${path}.function`] : [tool, path]
  const checked = checkShape(NamedFunctionCheck, named, source)
  const { name, description, parameters, input_schema: schema } = checked
  return {
    name,
    description: description ?? '',
    // Without a schema the function takes no parameters.
    schema: parameters ?? schema ?? { type: 'object', properties: {} },
    source,
    schemaSource: `${source}.${parameters || !schema ? 'parameters' : 'input_schema'}`
  }
}
