import { createHash, type Hash } from 'node:crypto'

const LAST_OF_EACH = 12
/** Characters that are digested at once: each call has a price of its own. */
const DIGESTED_CHARS = 2 ** 16

/** Everything that happens in a world, one line each: a digest of all lines, and the last ones of each actor. */
export class EventLog {
  readonly #hash: Hash = createHash('sha256')
  /** Lines that are not in the hash yet. */
  #undigested = ''
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
    this.#undigested += `${line}\n`
    if (this.#undigested.length >= DIGESTED_CHARS) this.#digest()
    this.#write?.(line)
    const last = this.#last.get(actor) ?? []
    if (last.push(line) > LAST_OF_EACH) last.shift()
    this.#last.set(actor, last)
  }

  /** SHA-256 over all lines so far; worlds with the same digest went the same way. */
  digest(): string {
    this.#digest()
    return this.#hash.copy().digest('hex')
  }

  #digest(): void {
    this.#hash.update(this.#undigested)
    this.#undigested = ''
  }

  lastOfEach(): ReadonlyMap<string, readonly string[]> {
    return this.#last
  }
}
