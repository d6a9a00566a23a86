import {
  asJsonObject,
  getOwn,
  type JsonObject,
  splitReference,
  valueAt
} from '../../shared/json.ts'
import type { Source } from '../wire/message.ts'

/** References inside references are followed this deep (§4.11). */
const MAX_REF_DEPTH = 8

/** JSON characters that inlined references may add to all tools of one request. */
const MAX_INLINED_CHARS = 262_144

/** Budget for inlined references: the remaining size and the depth so far; shared by the schemas of one request. */
export class InlineBudget {
  #chars: number
  /** The schema that nests deepest. */
  deepest: { readonly depth: number; readonly source: Source } = { depth: 0, source: undefined }

  constructor(chars: number = MAX_INLINED_CHARS) {
    this.#chars = chars
  }

  noteDepth(depth: number, source: Source): void {
    if (depth > this.deepest.depth) this.deepest = { depth, source }
  }

  get isSpent(): boolean {
    return this.#chars === 0
  }

  /** Takes `chars` out of the budget. The first that does not fit ends it, so that measuring ends too. */
  take(chars: number): boolean {
    const fits = chars <= this.#chars
    this.#chars = fits ? this.#chars - chars : 0
    return fits
  }
}

/** Resolves the local references of one schema document, and knows which of them are being inlined now. */
export class SchemaRefs {
  readonly #root: JsonObject
  readonly #budget: InlineBudget
  readonly #entered: JsonObject[] = []
  readonly #sizes = new Map<JsonObject, number>()

  constructor(root: JsonObject, budget: InlineBudget) {
    this.#root = root
    this.#budget = budget
  }

  /**
   * The schema that `ref` points to; then the caller owes a `leave()`. `cut` when following it would not
   * end or cost too much, `unknown` when it points to nothing in this document.
   */
  enter(ref: string): JsonObject | 'cut' | 'unknown' {
    const target = this.#targetOf(ref)
    if (target === undefined) return 'unknown'
    if (this.#entered.length >= MAX_REF_DEPTH || this.#entered.includes(target)) return 'cut'
    if (this.#budget.isSpent || !this.#budget.take(this.#sizeOf(target))) return 'cut'
    this.#entered.push(target)
    return target
  }

  leave(): void {
    this.#entered.pop()
  }

  /**
   * Finds a keyword in the document that the schema at `names` has when its references are inlined: in it, or in the
   * nearest schema that they lead to.
   */
  placeOf(keyword: string, schema: JsonObject, names: readonly string[]): readonly string[] {
    let [at, holder] = [names, schema]
    for (let depth = 0; depth <= MAX_REF_DEPTH; depth += 1) {
      if ((getOwn(holder, keyword) ?? null) !== null) return [...at, keyword]
      const ref = holder['$ref']
      const target = typeof ref === 'string' ? this.#targetOf(ref) : undefined
      if (typeof ref !== 'string' || target === undefined) break
      ;[at, holder] = [splitReference(ref), target]
    }
    return names
  }

  #targetOf(ref: string): JsonObject | undefined {
    if (ref !== '#' && !ref.startsWith('#/')) return undefined
    return asJsonObject(valueAt(this.#root, splitReference(ref))) ?? undefined
  }

  #sizeOf(schema: JsonObject): number {
    let size = this.#sizes.get(schema)
    if (size === undefined) {
      size = JSON.stringify(schema).length
      this.#sizes.set(schema, size)
    }
    return size
  }
}
