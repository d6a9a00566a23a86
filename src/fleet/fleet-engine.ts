import type { FleetState, StateReading } from './fleet-state.ts'

/** Content of a register when it was read. */
export interface FleetReading {
  /** The process of the engine that answered: another one may have lost anything. */
  readonly run: string
  /** Goes up, also where all was lost: never the same again. */
  readonly rev: number
  readonly reading: StateReading
  /** The last sign of life of each member. */
  readonly beats: Readonly<Record<string, string>>
}

/** A change of the register: made only while `rev` stands there, in this process of the engine. */
export interface Proposal {
  readonly run: string
  readonly rev: number
  readonly next: FleetState
  /** Condition of the change: it fails if one of these has given another sign of life since. */
  readonly expects: Readonly<Record<string, string>>
}

/** `reading` is the present content, whichever member wrote it. */
export interface CasAnswer {
  readonly isWritten: boolean
  readonly reading: FleetReading
}

export interface Beat {
  readonly run: string
  readonly inc: string
}

export interface BeatAnswer extends Pick<FleetReading, 'run' | 'rev' | 'beats'> {
  /** This is still that process, and the member is one of the register: its lease counts from the moment that the beat was sent. */
  readonly isKept: boolean
}

export interface EngineCounts {
  readonly commands: number
  /** Calls that were refused, timed out or had no connection. */
  readonly failures: number
}

/**
 * Operations that a fleet needs of Valkey. A call that fails or takes too long rejects, and means "unknown": its change
 * may be written, now or later.
 */
export interface FleetEngine {
  /** Since it was opened. Changes in place. */
  readonly counts: EngineCounts
  read(): Promise<FleetReading>
  cas(proposal: Proposal): Promise<CasAnswer>
  beat(beat: Beat): Promise<BeatAnswer>
  /** Listens for written revisions, or `null` when news may have been missed. Returns the function that ends this. */
  onNews(listener: (rev: number | null) => void): () => void
  close(): Promise<void>
}

/** Next question of a member to Valkey. One at a time, so that answers never overtake each other. */
export type FleetQuestion =
  | { readonly type: 'read' }
  | { readonly type: 'beat'; readonly beat: Beat }
  | { readonly type: 'cas'; readonly proposal: Proposal }

export type FleetAnswer =
  | { readonly type: 'read'; readonly reading: FleetReading }
  | { readonly type: 'beat'; readonly answer: BeatAnswer }
  | { readonly type: 'cas'; readonly answer: CasAnswer }
