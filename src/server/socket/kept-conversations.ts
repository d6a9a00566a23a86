import { bytesOfTurns, type KeptTurns } from '../turn/kept-turns.ts'
import type { MemoryBudget, SpareMemory } from '../../admission/memory-budget.ts'
import { OwnerSums } from '../../shared/owner-sums.ts'

/** JSON text of a conversation's items up to and with an answer, in parts that later ones share. */
export interface KeptConversation {
  /** The key that makes room when it has the most. */
  readonly owner: string
  readonly responseId: string
  readonly items: readonly Uint8Array[]
  /** Size of the items. */
  readonly bytes: number
  /** Stored responses of the conversation up to and with this one; `null` if one of them is not stored. */
  readonly chain: readonly string[] | null
  /** Beginning of the conversation as the upstream gets it; `null` where it has to be converted again. */
  readonly turns: KeptTurns | null
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
 * needs. When a request does, or when all of them are larger than `maxBytes`, the key with the most loses the one that it
 * used longest ago: no key's conversations push those of others out. The client is told to send the whole conversation.
 * Before that, conversations lose what only saves time.
 */
export class KeptConversations {
  readonly #options: KeptConversationsOptions
  /** By connection, least recently used first. Bounded by `maxBytes`. */
  readonly #kept = new Map<object, KeptConversation>()
  readonly #spare: SpareMemory
  /** Bytes of each owner; all of them are the spare memory's. */
  readonly #sums = new OwnerSums()
  /** Bytes of turns, among all. */
  #turnBytes = 0

  constructor(options: KeptConversationsOptions) {
    this.#options = options
    this.#spare = options.budget.lend((bytes) => this.#dropDownTo(this.bytes - bytes))
  }

  get size(): number {
    return this.#kept.size
  }

  get bytes(): number {
    return this.#spare.bytes
  }

  /** Replaces what the connection had. Keeps nothing if there is no room, also among what its owner may have. */
  keep(connection: object, conversation: KeptConversation): void {
    this.forget(connection)
    const { budget, maxBytes } = this.#options
    const most = Math.min(maxBytes(), this.bytes + budget.spareBytes)
    const isWhole = bytesOf(conversation) <= most - this.#leastBytes
    const kept = isWhole ? conversation : { ...conversation, turns: null }
    if (bytesOf(kept) > most) return
    this.#kept.set(connection, kept)
    this.#count(kept.owner, bytesOf(kept))
    this.#turnBytes += turnBytesOf(kept)
    this.#dropDownTo(most)
  }

  /** Keeps turns of the connection's conversation, if it is still there and no other has to go for them. */
  keepTurns(connection: object, responseId: string, turns: KeptTurns): void {
    const kept = this.find(connection, responseId)
    if (kept !== null && kept.turns !== turns) this.keep(connection, { ...kept, turns })
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
    this.#count(kept.owner, -bytesOf(kept))
    this.#turnBytes -= turnBytesOf(kept)
  }

  /** Without turns. */
  get #leastBytes(): number {
    return this.bytes - this.#turnBytes
  }

  #count(owner: string, bytes: number): void {
    this.#sums.add(owner, bytes)
    this.#spare.bytes = this.#sums.total
  }

  #dropDownTo(bytes: number): void {
    if (this.bytes <= bytes) return
    const level = this.#sums.levelFor(bytes)
    this.#dropTurns(bytes, level)
    for (const [connection, { owner }] of this.#kept) {
      if (this.bytes <= bytes) return
      if (this.#sums.of(owner) <= level) continue
      this.forget(connection)
    }
  }

  #dropTurns(bytes: number, level: number): void {
    for (const [connection, kept] of this.#kept) {
      if (this.bytes <= bytes || this.#turnBytes === 0) return
      if (this.#sums.of(kept.owner) <= level) continue
      this.#count(kept.owner, -turnBytesOf(kept))
      this.#turnBytes -= turnBytesOf(kept)
      this.#kept.set(connection, { ...kept, turns: null })
    }
  }
}

function bytesOf(kept: KeptConversation): number {
  return kept.bytes + ENTRY_BYTES + turnBytesOf(kept)
}

function turnBytesOf({ turns }: KeptConversation): number {
  return turns === null ? 0 : bytesOfTurns(turns)
}
