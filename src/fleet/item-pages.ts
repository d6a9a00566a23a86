import { ITEM_NAME_DIGITS, ownerPartOf } from '../shared/item-name.ts'
import { OwnerSums } from '../shared/owner-sums.ts'
import { jsonReader, Type } from '../shared/schema-type.ts'

/** Answer of the Responses API that this gateway has shared. */
export interface SharedItem {
  readonly name: string
  readonly bytes: number
  /** Expiry in epoch ms. */
  readonly until: number
}

/** A page is written whole with each change. */
export const ITEMS_PER_PAGE = 64
/** Together they name everything that the gateway has put there. */
export const ITEM_PAGES = 64
const MAX_ITEMS = ITEM_PAGES * ITEMS_PER_PAGE

const Count = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER }
const Item = Type.Unsafe<readonly [name: string, bytes: number, until: number]>({
  type: 'array',
  prefixItems: [{ type: 'string', pattern: `^[0-9a-f]{${ITEM_NAME_DIGITS}}$` }, Count, Count],
  minItems: 3
})

/** `null` for other text: anyone with access may write to Valkey. */
const parsePage = jsonReader(
  Type.Object({
    v: Type.Enum([1]),
    page: Type.Integer({ minimum: 0 }),
    items: Type.Array(Item, { maxItems: ITEMS_PER_PAGE })
  })
)

export interface ItemStep {
  readonly doomed: readonly SharedItem[]
  readonly over: readonly SharedItem[]
  /** Page to write before the item: a crash in between leaves no unknown item. */
  readonly page: number
}

/**
 * Items of one gateway in Valkey, each named in a page; a removed item may stay there until its place is needed.
 * Without room or places, the oldest items of the owners with the most are removed. Invariant: items put and not
 * removed take at most `maxBytes`, and all are named in pages.
 */
export class ItemPages {
  /** Oldest first, with their pages. Bounded by MAX_ITEMS. */
  readonly #items = new Map<SharedItem, number>()
  /** Items by page. Bounded by ITEM_PAGES. */
  readonly #counts = Array.from({ length: ITEM_PAGES }, () => 0)
  readonly #bytes = new OwnerSums()
  readonly #places = new OwnerSums()

  get bytes(): number {
    return this.#bytes.total
  }

  get count(): number {
    return this.#items.size
  }

  static of(pages: readonly (string | null)[], now: number): ItemPages {
    const found = pages.slice(0, ITEM_PAGES).flatMap((text, place) => {
      const page = parsePage(text)
      return page !== null && page.page % ITEM_PAGES === place
        ? page.items.map(([name, bytes, until]) => ({ item: { name, bytes, until }, place }))
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

  /** `null` if the item is too large: only owners with less than its size could make room. */
  add(item: SharedItem, { maxBytes, now }: ItemLimits): ItemStep | null {
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

  /** Items to remove for one of `bytes`, which is counted already. They no longer count. */
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

export interface ItemLimits {
  readonly maxBytes: number
  /** Epoch ms. */
  readonly now: number
}
