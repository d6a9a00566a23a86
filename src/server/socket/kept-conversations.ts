import type { MemoryBudget } from '../../admission/memory-budget.ts'

/** JSON text of a conversation's items up to and with an answer, in parts that later ones share. */
export interface KeptConversation {
  readonly responseId: string
  readonly items: readonly Uint8Array[]
  readonly bytes: number
  /** Its stored responses up to and with this one; `null` if one of them is not stored. */
  readonly chain: readonly string[] | null
}

/** Beside its bytes, for its place in maps and lists. */
const ENTRY_BYTES = 1024

export interface KeptConversationsOptions {
  readonly budget: Pick<MemoryBudget, 'lend' | 'spareBytes'>
  /** Bytes of all connections of this worker together; may change. */
  readonly maxBytes: () => number
}

/**
 * The last conversation of each connection, so that its client sends only what is new. It lives in memory that no request
 * needs: the one that was used longest ago is dropped when a request does, or when all of them are larger than `maxBytes`.
 * Its client is told to send the whole conversation.
 */
export class KeptConversations {
  readonly #options: KeptConversationsOptions
  /** By connection, least recently used first. Bounded by `maxBytes`. */
  readonly #kept = new Map<object, KeptConversation>()
  #bytes = 0
  #dropped = 0

  constructor(options: KeptConversationsOptions) {
    this.#options = options
    options.budget.lend({
      bytes: () => this.#bytes,
      giveBack: (bytes) => this.#dropDownTo(this.#bytes - bytes)
    })
  }

  get size(): number {
    return this.#kept.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Conversations that made room for others. */
  get dropped(): number {
    return this.#dropped
  }

  /** Replaces what the connection had. Keeps nothing if there is no room. */
  keep(connection: object, conversation: KeptConversation): void {
    this.forget(connection)
    const { budget, maxBytes } = this.#options
    const bytes = conversation.bytes + ENTRY_BYTES
    const most = Math.min(maxBytes(), this.#bytes + budget.spareBytes)
    if (bytes > most) return
    this.#dropDownTo(most - bytes)
    this.#kept.set(connection, conversation)
    this.#bytes += bytes
  }

  /** `null` if it was dropped, or is another's. Counts as a use. */
  find(connection: object, responseId: string): KeptConversation | null {
    const kept = this.#kept.get(connection)
    if (kept?.responseId !== responseId) return null
    this.#kept.delete(connection)
    this.#kept.set(connection, kept)
    return kept
  }

  forget(connection: object): void {
    const kept = this.#kept.get(connection)
    if (kept === undefined) return
    this.#kept.delete(connection)
    this.#bytes -= kept.bytes + ENTRY_BYTES
  }

  #dropDownTo(bytes: number): void {
    for (const connection of this.#kept.keys()) {
      if (this.#bytes <= bytes) return
      this.forget(connection)
      this.#dropped += 1
    }
  }
}
