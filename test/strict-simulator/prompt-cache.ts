import { createHash } from 'node:crypto'
import type { SimulatedModel } from '../../src/simulator/models.ts'
import type { ConversationTurn, RequestView } from '../../src/simulator/request-view.ts'

/** A prompt is known by blocks of this many characters; where one differs, it and all behind it are new. */
const BLOCK_CHARS = 256
/** How long a block is known after it was last read. */
const TTL_MS = 5 * 60_000
const MAX_BLOCKS = 200_000
/** The smallest prefix that is kept, in tokens (kiro-protocol §7.5). */
const MIN_TOKENS = 1024

/**
 * The upstream's prompt cache, which shows in credits alone (kiro-protocol §9.7): Claude finds a prefix by its content,
 * GPT by conversation and effort before that. Nothing in a request switches it on.
 */
export class PromptCache {
  readonly #now: () => number
  /** When each block was last read, by the hash of all up to its end; the least recent first. */
  readonly #blocks = new Map<string, number>()
  /** One for all: a new one would pass by every block that has been forgotten. */
  readonly #oldestFirst = this.#blocks.keys()

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /** Tokens of a prompt that are known from earlier ones; from now on all of it is. */
  read(view: RequestView, model: SimulatedModel, inputTokens: number): number {
    const prompt = promptOf(view)
    const now = this.#now()
    let hash = keyOf(view, model)
    let known = 0
    for (let at = 0; at + BLOCK_CHARS <= prompt.length; at += BLOCK_CHARS) {
      hash = hashOf(hash + prompt.slice(at, at + BLOCK_CHARS))
      const readAt = this.#blocks.get(hash)
      if (known === at && readAt !== undefined && now - readAt < TTL_MS) known += BLOCK_CHARS
      this.#note(hash, now)
    }
    const tokens = Math.floor((inputTokens * known) / Math.max(prompt.length, 1))
    return tokens < MIN_TOKENS ? 0 : tokens
  }

  #note(hash: string, now: number): void {
    this.#blocks.delete(hash)
    this.#blocks.set(hash, now)
    if (this.#blocks.size <= MAX_BLOCKS) return
    const { value: oldest } = this.#oldestFirst.next()
    if (oldest !== undefined) this.#blocks.delete(oldest)
  }
}

/** What the model reads, in its order: tools, history, the current message as it will stand in the history. */
function promptOf({ current, history }: RequestView): string {
  return [JSON.stringify(current.tools), ...[...history, current].map(textOf)].join('\n')
}

function textOf({ role, content, ...turn }: ConversationTurn): string {
  const parts = 'toolUses' in turn ? [turn.toolUses] : [turn.images, turn.toolResults]
  return `${role} ${content}\n${JSON.stringify(parts)}`
}

/** Names of models say nothing of their family but by how they begin. */
function keyOf({ state, root }: RequestView, { modelId }: SimulatedModel): string {
  if (!modelId.startsWith('gpt-')) return modelId
  const fields = JSON.stringify(root['additionalModelRequestFields'] ?? null)
  return `${modelId} ${String(state['conversationId'])} ${fields}`
}

/** So many bytes of a hash tell blocks apart. */
const HASH_BYTES = 12

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest().toString('base64', 0, HASH_BYTES)
}
