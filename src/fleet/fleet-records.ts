export interface FleetRecord {
  readonly run: string
  /** Grows even over a loss; 0 without a record. */
  readonly rev: number
  /** `null` also for values over `MAX_RECORD_LENGTH`; '' for a key of another type, which gets replaced. */
  readonly value: string | null
  /** Ms since it was written, by Valkey's clock. */
  readonly ageMs?: number
}

export interface RecordChange {
  readonly rev: number
  readonly value: string | null
  /** Expiry; never, if left out. */
  readonly ttlMs?: number
  readonly isQuiet?: boolean
}

export interface RecordAnswer {
  readonly isWritten: boolean
  readonly record: FleetRecord
}

/** A script with a longer value would block Valkey for milliseconds. */
export const MAX_RECORD_LENGTH = 1024 * 1024

/**
 * Small named values of a fleet, changed by compare-and-set. Others may write them: check values, seal secrets. A
 * rejection means "unknown": the change may take effect now or later.
 */
export interface FleetRecords {
  /** `name`: up to 128 letters, digits and `._:-`. */
  read(name: string): Promise<FleetRecord>
  /** @throws {RangeError} for a value that is too long */
  cas(name: string, change: RecordChange): Promise<RecordAnswer>
  /** Names of written records, or `null` if news may have been missed. Returns the function that ends this. */
  onNews(listener: (name: string | null) => void): () => void
}
