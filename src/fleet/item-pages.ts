import { ITEM_NAME_DIGITS, ownerPartOf } from '../shared/item-name.ts'
import { isJsonObject, parseJsonObject } from '../shared/json.ts'
import { OwnerSums } from '../shared/owner-sums.ts'

/** An answer of the Responses API that this gateway has put where the others find it. */
export interface SharedItem {
  readonly name: string
  /** Its size in the engine. */
  readonly bytes: number
  /** Epoch ms at which the engine forgets it. */
  readonly until: number
}

/** Items in a page, which is written whole with each change. */
export const ITEMS_PER_PAGE = 64
/** Pages of one gateway: together they name all that it has put there. */
export const ITEM_PAGES = 64
const MAX_ITEMS = ITEM_PAGES * ITEMS_PER_PAGE
const NAME = new RegExp(`^[0-9a-f]{${ITEM_NAME_DIGITS}}$`)

/** The steps before an item may be put there, in this order. */
export interface ItemStep {
  /** To be taken away first. */
  readonly doomed: readonly SharedItem[]
  /** These the engine has forgotten. */
  readonly over: readonly SharedItem[]
  /** Page that names it, to be written before the item: a death in between leaves no unknown item. */
  readonly page: number
}

/**
 * Items of one gateway in Valkey. Each stands in a page, wherever there was a place; a removed item may stay in its
 * page until its place is needed.
 *
 * Without room or places, the oldest items of the owners with the most are removed: an owner with at most an even part
 * loses nothing, nor does one with no more than the new item's owner.
 *
 * Invariant: items put and not removed take at most `maxBytes`, and all of them are named in the pages.
 */
export class ItemPages {
  /** The oldest first, with the page of each. Bounded by MAX_ITEMS. */
  readonly #items = new Map<SharedItem, number>()
  /** Number of items by page. Bounded by ITEM_PAGES. */
  readonly #counts = Array.from({ length: ITEM_PAGES }, () => 0)
  readonly #bytes = new OwnerSums()
  readonly #places = new OwnerSums()

  get bytes(): number {
    return this.#bytes.total
  }

  get count(): number {
    return this.#items.size
  }

  /** Goes on where an earlier process of this gateway has stopped: with what the pages say, each at its place. */
  static of(pages: readonly (string | null)[], now: number): ItemPages {
    const found = pages.slice(0, ITEM_PAGES).flatMap((text, place) => {
      const page = parsePage(text)
      return page !== null && page.page % ITEM_PAGES === place
        ? page.items.map((item) => ({ item, place }))
        : []
    })
    const made = new ItemPages()
    for (const { item, place } of found.toSorted((a, b) => a.item.until - b.item.until)) {
      if (item.until <= now) continue
      made.#count(item, 1)
      made.#place(item, place)
    }
    return made
  }

  /** Returns `null` where the item is too large: only owners who have no more than its size could make room for it. */
  add(item: SharedItem, { maxBytes, now }: ItemTerms): ItemStep | null {
    const over: SharedItem[] = []
    for (const one of this.#items.keys()) {
      if (one.until > now) break
      this.#forget(one)
      over.push(one)
    }
    this.#count(item, 1)
    const doomed = this.#surplus(item.bytes, maxBytes)
    if (this.#bytes.total > maxBytes) {
      for (const one of doomed) this.#count(one, 1)
      this.#count(item, -1)
      return null
    }
    for (const one of doomed) this.#remove(one)
    const page = this.#counts.findIndex((count) => count < ITEMS_PER_PAGE)
    this.#place(item, page)
    return { doomed, over, page }
  }

  /** Returns what has to go for an item of so many bytes, which is counted already. They do not count any more. */
  #surplus(bytes: number, maxBytes: number): readonly SharedItem[] {
    const bytesEach = Math.max(bytes, this.#bytes.levelFor(maxBytes))
    const placesEach = this.#places.levelFor(MAX_ITEMS)
    const doomed: SharedItem[] = []
    for (const one of this.#items.keys()) {
      if (this.#bytes.total <= maxBytes && this.#places.total <= MAX_ITEMS) break
      const owner = ownerPartOf(one.name)
      if (this.#bytes.of(owner) <= bytesEach && this.#places.of(owner) <= placesEach) continue
      this.#count(one, -1)
      doomed.push(one)
    }
    return doomed
  }

  /** The text of a page. */
  textOf(page: number): string {
    const items = [...this.#items].filter(([, place]) => place === page)
    const told = items.map(([{ name, bytes, until }]) => [name, bytes, until])
    return JSON.stringify({ v: 1, page, items: told })
  }

  #place(item: SharedItem, page: number): void {
    this.#items.set(item, page)
    this.#counts[page] = (this.#counts[page] ?? 0) + 1
  }

  #forget(item: SharedItem): void {
    this.#remove(item)
    this.#count(item, -1)
  }

  #remove(item: SharedItem): void {
    const page = this.#items.get(item) ?? 0
    this.#items.delete(item)
    this.#counts[page] = (this.#counts[page] ?? 0) - 1
  }

  #count({ name, bytes }: SharedItem, times: 1 | -1): void {
    const owner = ownerPartOf(name)
    this.#bytes.add(owner, bytes * times)
    this.#places.add(owner, times)
  }
}

export interface ItemTerms {
  /** Most bytes that this gateway may have there. */
  readonly maxBytes: number
  /** Epoch ms. */
  readonly now: number
}

interface ItemPage {
  readonly page: number
  readonly items: readonly SharedItem[]
}

/** Reads a page; `null` for any other text, since others may write to the engine. */
function parsePage(text: string | null): ItemPage | null {
  const raw = text === null ? null : parseJsonObject(text)
  if (!isJsonObject(raw)) return null
  const { v, page, items } = raw
  if (v !== 1 || !isCount(page) || !Array.isArray(items) || items.length > ITEMS_PER_PAGE) {
    return null
  }
  const read: SharedItem[] = []
  for (const item of items as readonly unknown[]) {
    const [name, bytes, until] = Array.isArray(item) ? (item as readonly unknown[]) : []
    if (typeof name !== 'string' || !NAME.test(name) || !isCount(bytes) || !isCount(until)) {
      return null
    }
    read.push({ name, bytes, until })
  }
  return { page, items: read }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}
