import type { JsonObject } from '../kiro/json-object.ts'
import type { Repairs } from '../kiro/repairs.ts'
import type { MessageDraft } from './message-draft.ts'

/** What a message says: text, or a list of text and typed blocks. */
export type ContentValue = string | null | undefined | readonly Block[]

/** A list may hold bare text too. */
export type Block = string | JsonObject

/** Where a block stands, and what it belongs to. */
export interface BlockContext {
  readonly draft: MessageDraft
  /** From the body's root, for error messages. */
  readonly path: string
  readonly repairs: Repairs
  /** A document that cannot be read is no reason to refuse in there. */
  readonly isInToolResult: boolean
  /** Blocks around it; 0 in the message itself. */
  readonly level: number
  /** Reads a block inside a block. */
  readonly readBlock: (block: Block, context: BlockContext) => void
}
