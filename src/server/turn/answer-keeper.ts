import type { AnswerWriter } from '../../dialects/answer/answer-writer.ts'
import type { ItemStore, StoredId } from '../items/item-store.ts'

/** Stores a response with what was asked. Nothing stays of one that is not answered. */
export class AnswerKeeper {
  readonly #items: Pick<ItemStore, 'save' | 'saveInput' | 'forget'>
  readonly #id: StoredId
  #input: Promise<void> | null = null
  #isSaved = false

  constructor(items: Pick<ItemStore, 'save' | 'saveInput' | 'forget'>, id: StoredId) {
    this.#items = items
    this.#id = id
  }

  keepInput(input: Uint8Array): void {
    this.#input = this.#items.saveInput(this.#id, input)
  }

  /** Resolves when the response can be found, or storing has failed. */
  async save({ keptItems, keptResponse }: Pick<AnswerWriter, 'keptItems' | 'keptResponse'>) {
    this.#isSaved = true
    await this.#input
    await this.#items.save({ ...this.#id, items: keptItems, response: keptResponse })
  }

  /** Call it when the answer is over, whatever came of it. Never rejects. */
  async dispose(): Promise<void> {
    if (this.#isSaved || this.#input === null) return
    await this.#input
    await this.#items.forget(this.#id)
  }
}
