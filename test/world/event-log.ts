import { createHash, type Hash } from 'node:crypto'

const LAST_OF_EACH = 12

/** Everything that happens in a world, one line each: a digest of all lines, and the last ones of each actor. */
export class EventLog {
  readonly #hash: Hash = createHash('sha256')
  /** Bounded by LAST_OF_EACH for each actor that there was. */
  readonly #last = new Map<string, string[]>()
  readonly #write: ((line: string) => void) | null
  lines = 0

  /** `write` gets every line. */
  constructor(write: ((line: string) => void) | null = null) {
    this.#write = write
  }

  add(at: number, actor: string, text: string): void {
    const line = `${at.toFixed(3)} ${actor}: ${text}`
    this.lines += 1
    this.#hash.update(line).update('\n')
    this.#write?.(line)
    const last = this.#last.get(actor) ?? []
    if (last.push(line) > LAST_OF_EACH) last.shift()
    this.#last.set(actor, last)
  }

  /** SHA-256 over all lines so far; worlds with the same digest went the same way. */
  digest(): string {
    return this.#hash.copy().digest('hex')
  }

  lastOfEach(): ReadonlyMap<string, readonly string[]> {
    return this.#last
  }
}
