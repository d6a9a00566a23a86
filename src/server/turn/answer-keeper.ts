import type { AnswerWriter } from '../../dialects/answer/answer-writer.ts'
import type { ItemStore, StoredId } from '../items/item-store.ts'

type AnswerStore = Pick<ItemStore, 'save' | 'saveInput' | 'hasInput' | 'forget'>

/** Stores a response with what was asked. Nothing stays of one that is not answered. */
export class AnswerKeeper {
  readonly #items: AnswerStore
  readonly #id: StoredId
  #input: Promise<boolean> | null = null
  #isSaved = false

  constructor(items: AnswerStore, id: StoredId) {
    this.#items = items
    this.#id = id
  }

  keepInput(input: Uint8Array): void {
    this.#input = this.#items.saveInput(this.#id, input)
  }

  /** Resolves when the response can be found, or storing has failed. */
  async save({ keptItems, keptResponse }: Pick<AnswerWriter, 'keptItems' | 'keptResponse'>) {
    this.#isSaved = true
    const isInputStored = (await this.#input) === true
    if (isInputStored && !(await this.#items.hasInput(this.#id))) return // deleted while it was answered
    await this.#items.save({ ...this.#id, items: keptItems, response: keptResponse })
  }

  /** Call it when the answer is over, whatever came of it. Never rejects. */
  async dispose(): Promise<void> {
    if (this.#isSaved || this.#input === null) return
    await this.#input
    await this.#items.forget(this.#id)
  }
}
