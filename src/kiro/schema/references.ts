import {
  asJsonObject,
  getOwn,
  type JsonObject,
  splitReference,
  valueAt
} from '../../shared/json.ts'
import type { Source } from '../wire/message.ts'

const MAX_REF_DEPTH = 8

const MAX_INLINED_CHARS = 262_144

export class InlineBudget {
  #chars: number
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

  /** The first size that does not fit ends the budget, and with it the measuring. */
  take(chars: number): boolean {
    const fits = chars <= this.#chars
    this.#chars = fits ? this.#chars - chars : 0
    return fits
  }
}

/** Tracks which references of one document are being inlined. */
export class SchemaRefs {
  readonly #root: JsonObject
  readonly #budget: InlineBudget
  readonly #entered: JsonObject[] = []
  readonly #sizes = new Map<JsonObject, number>()

  constructor(root: JsonObject, budget: InlineBudget) {
    this.#root = root
    this.#budget = budget
  }

  /** Needs a `leave()` after a schema. `cut`: would not end or cost too much; `unknown`: points to nothing. */
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

  /** Finds the keyword in the schema at `names`, or in the nearest that its references lead to. */
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
