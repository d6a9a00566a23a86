import { isJsonObject, parseJsonObject } from '../shared/json.ts'

/** An answer of the Responses API that this gateway has put where the others find it. */
export interface SharedItem {
  readonly name: string
  /** What it takes in the engine. */
  readonly bytes: number
  /** Epoch ms at which the engine forgets it. */
  readonly until: number
}

/** Of them in a page: one is written whole with each change. */
export const ITEMS_PER_PAGE = 64
/** Pages of one gateway, which take turns: together they name all that it has put there. */
export const ITEM_PAGES = 64
/** Of one gateway, ever: numbers of items stay exact. */
const MAX_PAGE = 2 ** 40
const NAME = /^[0-9a-f]{40}$/

/** What to do so that an item may be put there, in this order. */
export interface ItemStep {
  /** To be taken away first. */
  readonly doomed: readonly SharedItem[]
  /** These the engine has forgotten. */
  readonly over: readonly SharedItem[]
  /** The page that names it, to be written before the item is: a death in between leaves nothing that nobody knows of. */
  readonly page: number
}

/**
 * What one gateway has in the engine, the oldest first. Each item has a number; from that follow its page, and the place
 * where the page stands, in which a later one takes its turn.
 *
 * Invariant: what was put and not taken away takes `maxBytes` at most, and all of it is named in the pages.
 */
export class ItemPages {
  /** The oldest first. Bounded by ITEM_PAGES × ITEMS_PER_PAGE. */
  readonly #items = new Map<number, SharedItem>()
  #next = 0
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  get count(): number {
    return this.#items.size
  }

  /** Goes on where an earlier process of this gateway has stopped: with what the pages say, each at its place. */
  static of(pages: readonly (string | null)[], now: number): ItemPages {
    const read = pages.map(parsePage)
    const found = read.filter((page, place) => page !== null && page.page % ITEM_PAGES === place)
    const last = Math.max(-1, ...found.map((page) => page?.page ?? -1))
    const made = new ItemPages()
    for (const page of found.toSorted((a, b) => (a?.page ?? 0) - (b?.page ?? 0))) {
      if (page === null || page.page <= last - ITEM_PAGES) continue
      for (const [at, item] of page.items.entries()) {
        if (item.until > now) made.#keep(page.page * ITEMS_PER_PAGE + at, item)
      }
    }
    made.#next = (last + 1) * ITEMS_PER_PAGE
    return made
  }

  /** `null` for one that alone is too large. */
  add(item: SharedItem, { maxBytes, now }: ItemTerms): ItemStep | null {
    if (item.bytes > maxBytes) return null
    const number = this.#next++
    const page = Math.floor(number / ITEMS_PER_PAGE)
    const doomed: SharedItem[] = []
    const over: SharedItem[] = []
    for (const [other, one] of this.#items) {
      const isOver = one.until <= now
      const isInTheWay = Math.floor(other / ITEMS_PER_PAGE) <= page - ITEM_PAGES
      if (!isOver && !isInTheWay && this.#bytes + item.bytes <= maxBytes) break
      this.#items.delete(other)
      this.#bytes -= one.bytes
      if (isOver) over.push(one)
      else doomed.push(one)
    }
    this.#keep(number, item)
    return { doomed, over, page }
  }

  /** The text of a page. */
  textOf(page: number): string {
    const items: SharedItem[] = []
    for (let at = 0; at < ITEMS_PER_PAGE; at += 1) {
      const item = this.#items.get(page * ITEMS_PER_PAGE + at)
      if (item !== undefined) items.push(item)
    }
    const told = items.map(({ name, bytes, until }) => [name, bytes, until])
    return JSON.stringify({ v: 1, page, items: told })
  }

  #keep(number: number, item: SharedItem): void {
    this.#items.set(number, item)
    this.#bytes += item.bytes
  }
}

export interface ItemTerms {
  /** Of all that this gateway has there. */
  readonly maxBytes: number
  /** Epoch ms. */
  readonly now: number
}

interface ItemPage {
  readonly page: number
  readonly items: readonly SharedItem[]
}

/** What stands in the engine may be anybody's: `null` for what is no page. */
function parsePage(text: string | null): ItemPage | null {
  const raw = text === null ? null : parseJsonObject(text)
  if (!isJsonObject(raw)) return null
  const { v, page, items } = raw
  if (
    v !== 1 ||
    !isCount(page) ||
    page > MAX_PAGE ||
    !Array.isArray(items) ||
    items.length > ITEMS_PER_PAGE
  ) {
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
