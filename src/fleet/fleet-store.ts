import type { FleetState, StateReading } from './fleet-state.ts'

export interface FleetReading {
  /** Run of Valkey that answered: another one may have lost data. */
  readonly run: string
  /** Grows even over a loss; never repeats. */
  readonly rev: number
  readonly reading: StateReading
  readonly beats: Readonly<Record<string, string>>
}

/** Change of the register, valid only at `rev` in this run. */
export interface Proposal {
  readonly run: string
  readonly rev: number
  readonly next: FleetState
  /** The change fails if one of these has beaten since. */
  readonly expects: Readonly<Record<string, string>>
}

export interface CasAnswer {
  readonly isWritten: boolean
  readonly reading: FleetReading
}

export interface Beat {
  readonly run: string
  readonly inc: string
}

export interface BeatAnswer extends Pick<FleetReading, 'run' | 'rev' | 'beats'> {
  /** True in the same run, with the member registered: its lease counts from when the beat was sent. */
  readonly isKept: boolean
}

/** One at a time, so that answers never overtake each other. */
export type FleetQuestion =
  | { readonly type: 'read' }
  | { readonly type: 'beat'; readonly beat: Beat }
  | { readonly type: 'cas'; readonly proposal: Proposal }

export type FleetAnswer =
  | { readonly type: 'read'; readonly reading: FleetReading }
  | { readonly type: 'beat'; readonly answer: BeatAnswer }
  | { readonly type: 'cas'; readonly answer: CasAnswer }
