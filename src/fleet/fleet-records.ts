/** Value under a name beside the ledger. */
export interface FleetRecord {
  /** The process of the engine that answered. */
  readonly run: string
  /** Goes up with each change, also over a loss of what was there; 0 where there is nothing. */
  readonly rev: number
  /**
   * `null` also for values longer than `MAX_RECORD_LENGTH`; '' for a key of another kind, which the next change
   * replaces, since no gateway wrote it.
   */
  readonly value: string | null
  /** Milliseconds since it was written, by the engine's clock alone. */
  readonly ageMs?: number
}

export interface RecordChange {
  /** The revision that it rests on. */
  readonly rev: number
  /** `null` takes the record away. */
  readonly value: string | null
  /** After which it is forgotten by itself; never, if left out. */
  readonly ttlMs?: number
  /** Changes without a notice to others. */
  readonly isQuiet?: boolean
}

export interface RecordAnswer {
  readonly isWritten: boolean
  /** Present value, whichever gateway wrote it. */
  readonly record: FleetRecord
}

/** Characters of a value. Beyond it, a script would keep the engine from others for milliseconds. */
export const MAX_RECORD_LENGTH = 1024 * 1024

/**
 * Small named values that all members of a fleet see, each changed only by who has seen its last revision. What stands there
 * is anybody's who can write to the engine: check it, and seal what is secret.
 *
 * A call that fails or takes too long rejects, and means "unknown": what it was to write may be written, now or later.
 */
export interface FleetRecords {
  /** `name` is up to 128 letters, digits and `._:-`. */
  read(name: string): Promise<FleetRecord>
  /** @throws {RangeError} for a value that is too long */
  cas(name: string, change: RecordChange): Promise<RecordAnswer>
  /**
   * Listens for the names of written records, or `null` when news may have been missed. Returns the function that ends
   * this.
   */
  onNews(listener: (name: string | null) => void): () => void
}
