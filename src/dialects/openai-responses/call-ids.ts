/** Between the two ids that some clients join into one: `call_…|fc_…`. */
const JOINT = /[|\n]/
const JOINED = 2

/**
 * Brings calls and outputs together that name one call differently: by the id of the call, by the id of its item,
 * or by both joined into one.
 */
export class CallIds {
  readonly #calls = new Set<string>()
  readonly #others = new Map<string, string>()

  /** The id of a call that its item names by `call_id`, or by `id` alone. */
  ofCall(callId: string | null | undefined, itemId: string | null | undefined): string {
    const id = callId || itemId || ''
    if (id === '') return ''
    this.#calls.add(id)
    for (const other of [itemId ?? '', ...id.split(JOINT, JOINED)]) {
      if (other !== '' && !this.#others.has(other)) this.#others.set(other, id)
    }
    return id
  }

  /** The id of the call that an output belongs to; its own where no call before it is meant. */
  ofOutput(callId: string | null | undefined): string {
    const id = callId ?? ''
    if (this.#calls.has(id)) return id
    for (const word of [id, ...id.split(JOINT, JOINED)]) {
      const call = this.#calls.has(word) ? word : this.#others.get(word)
      if (call !== undefined) return call
    }
    return id
  }
}
