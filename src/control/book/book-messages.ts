import type { UsageRow, UsageSums } from '../../ipc/usage-row.ts'
import type { Period } from '../../keys/period.ts'
import type { PriceLessons } from '../../keys/prices.ts'
import type { ProcessMark } from '../../shared/process-mark.ts'
import type { PlanLook, PlanStory } from '../plan/plan-record.ts'
import type { DaySums } from './usage-sums.ts'

/*
 * Messages between the primary and the thread that has `usage.db` open. One batch is one transaction: all of it is in
 * the book, or none.
 *
 *   primary ◀── started ── thread
 *
 *   primary ── open ──▶ thread        primary ── commit(batch) ──▶ thread
 *           ◀─ opened ─                       ◀─ committed(answer) or failed ─
 */

/** One run of a gateway. */
export interface BookRun {
  readonly id: string
  readonly mark: ProcessMark
}

export interface BookOpening {
  readonly path: string
  /** Epoch ms. */
  readonly now: number
  readonly run: BookRun
  /** Requests have rows; not where USAGE_LOG is false. */
  readonly isKept: boolean
  /** Keys with a limit, for a file of an earlier version: what they have used in their period is added up from its rows. */
  readonly periods: readonly { readonly key: string; readonly period: Period }[]
  /** `BookFailure.damagedFile` of an attempt to write: it is to be set aside, unless another is in its place. */
  readonly damagedFile: string | null
}

/** Credits that requests have cost. They settle what their run holds. */
export interface BookCharge {
  readonly key: string
  /** The number of the period in which they were reserved. */
  readonly period: number
  readonly credits: number
}

/** Credits that one key needs of the book, or gives back. */
export interface PageAsk {
  readonly key: string
  readonly period: Period
  /** The limit, less what other gateways of a fleet have of it. */
  readonly cap: number
  readonly want: number
  readonly release: number
  /** The key was made then: a book that was damaged before says nothing of it. Epoch ms. */
  readonly createdAt: number
  /** Use of the key as an operator has stated it after the book was damaged. */
  readonly reopened: { readonly at: number; readonly used: number } | null
}

export interface BookBatch {
  /** Grows from batch to batch of a run. One that is in the book already is not written again. */
  readonly seq: number
  readonly now: number
  /** Requests have rows; not where USAGE_LOG is false. */
  readonly isKept: boolean
  readonly rows: readonly UsageRow[]
  /** Sums of requests that came faster than they could be written. They have no rows. */
  readonly sums: readonly DaySums[]
  readonly names: readonly (readonly [id: string, name: string])[]
  readonly charges: readonly BookCharge[]
  readonly asks: readonly PageAsk[]
  readonly prices: readonly PriceLessons[]
  /** Rows from before then are deleted, some with each batch. Epoch ms. */
  readonly pruneBefore: number
}

/** State of a page of the book for one run. */
export interface PageNews {
  readonly key: string
  readonly period: Period
  /** Settled by all runs in this period. */
  readonly used: number
  /** Credits that this run may hand out in this period, used or not. */
  readonly share: number
  /** Settled by this run. */
  readonly settled: number
  /** Held by other runs. */
  readonly heldElsewhere: number
  /** Other runs wish for so much. */
  readonly wishedElsewhere: number
  readonly isClosed: boolean
}

/** Credits of a key that a run held when it died. They count as used. */
export interface LostCredits {
  readonly key: string
  readonly credits: number
}

export interface BookLosses {
  readonly lost: readonly LostCredits[]
  /** Held by this run again: it was only paused when another run took it for dead. */
  readonly regained: readonly LostCredits[]
}

export interface BookAnswer extends BookLosses {
  /** Pages of all keys that were charged or asked for. */
  readonly pages: readonly PageNews[]
  /** Other runs use this book. */
  readonly hasOthers: boolean
}

/** Answer of the thread to `open`. */
export interface BookOpened extends BookLosses {
  readonly prices: readonly PriceLessons[]
  /** Path of a damaged file that was set aside; `null` for a sound one. */
  readonly setAside: string | null
  readonly hasOthers: boolean
}

export type ToBook =
  | { readonly type: 'open'; readonly id: number; readonly opening: BookOpening }
  | { readonly type: 'commit'; readonly id: number; readonly batch: BookBatch }
  | {
      readonly type: 'sums'
      readonly id: number
      /** Epoch ms, both days included. */
      readonly since: number
      readonly until: number
    }
  | {
      readonly type: 'look'
      readonly id: number
      readonly account: string
      readonly look: PlanLook
    }
  | { readonly type: 'close'; readonly id: number }

export type FromBook =
  /** The first message of a thread. */
  | { readonly type: 'started' }
  | { readonly type: 'opened'; readonly id: number; readonly opened: BookOpened }
  | { readonly type: 'committed'; readonly id: number; readonly answer: BookAnswer }
  | {
      readonly type: 'summed'
      readonly id: number
      readonly sums: readonly (readonly [key: string, sums: UsageSums])[]
    }
  | { readonly type: 'looked'; readonly id: number; readonly story: PlanStory }
  | { readonly type: 'closed'; readonly id: number }
  | { readonly type: 'failed'; readonly id: number; readonly reason: BookFailure }

export interface BookFailure {
  /** SQLite's extended result code, or 0. */
  readonly errcode: number
  /** Node's, such as ENOSPC; empty where there is none. */
  readonly code: string
  readonly message: string
  /** The device and inode of a file that is damaged itself, and has to be set aside; `null` where that is not the trouble. */
  readonly damagedFile: string | null
  /** The thread ended, and it is unknown whether it had written the batch. */
  readonly isUnsure: boolean
}
