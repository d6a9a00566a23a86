import {
  isBlank,
  joinText,
  type Message,
  type Role,
  type ToolCall,
  type ToolResult
} from '../kiro/message.ts'
import type { UpstreamImage } from '../kiro/payload.ts'
import { appendPieces, callText, resultText } from '../kiro/tool-text.ts'

/** One message while its blocks are read. */
export class MessageDraft {
  readonly role: Role
  readonly images: UpstreamImage[] = []
  readonly toolCalls: ToolCall[] = []
  readonly toolResults: ToolResult[] = []
  #text = ''
  #endsWithParagraph = false

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

  /** What was not text before stands apart from the text around it. */
  addParagraph(text: string): void {
    if (isBlank(text)) return
    this.#text = joinText(this.#text, text, '\n\n')
    this.#endsWithParagraph = true
  }

  /** Everything but the images, in words: for content inside content, which must be text. */
  toText(): string {
    const pieces = [...this.toolCalls.map(callText), ...this.toolResults.map(resultText)]
    return appendPieces(this.#text, pieces)
  }

  /** `source` is the path of the message in the client's body. */
  toMessage(source?: string): Message {
    const { role, text, images, toolCalls, toolResults } = this
    return { role, text, images, toolCalls, toolResults, source }
  }
}
