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
 *   primary ── open, commit, sums, look or close ──▶ thread
 *           ◀────────── answered or failed ─────────
 */

export interface BookRun {
  readonly id: string
  readonly mark: ProcessMark
}

export interface BookOpening {
  readonly path: string
  /** Epoch ms. */
  readonly now: number
  readonly run: BookRun
  /** Requests have rows; false if USAGE_LOG is false. */
  readonly isKept: boolean
  /** Limited keys, whose usage is added up from the rows of an earlier version's file. */
  readonly periods: readonly { readonly key: string; readonly period: Period }[]
  /** `BookFailure.damagedFile` of an earlier try: set it aside, unless another file is in its place. */
  readonly damagedFile: string | null
}

export interface BookCharge {
  readonly key: string
  readonly period: number
  readonly credits: number
}

export interface PageAsk {
  readonly key: string
  readonly period: Period
  /** The limit, less what other gateways of a fleet have. */
  readonly cap: number
  readonly want: number
  readonly release: number
  /** Epoch ms: a book damaged before says nothing of the key. */
  readonly createdAt: number
  /** Usage stated by an operator after damage. */
  readonly reopened: { readonly at: number; readonly used: number } | null
}

/** One change that a user of the panel made. */
export interface AuditEntry {
  readonly at: number
  readonly who: string
  readonly via: string
  readonly address: string
  readonly action: string
  readonly subject: string
  /** JSON, or empty. Never a secret. */
  readonly before: string
  readonly after: string
}

/** A row as it is written: without charges, and with what happened to the request as text (`row-facts.ts`). */
export interface BookRow extends Omit<UsageRow, 'turn' | 'charges'> {
  /** Missing for a request that died with its worker, and where too many wait for the disk. */
  readonly turn?: { readonly requestId: string; readonly facts: string }
}

export interface BookBatch {
  /** Grows per run; a batch already in the book is not written again. */
  readonly seq: number
  readonly now: number
  /** Requests have rows; false if USAGE_LOG is false. */
  readonly isKept: boolean
  readonly rows: readonly BookRow[]
  /** Sums without rows, of requests that came too fast to be written. */
  readonly sums: readonly DaySums[]
  readonly names: readonly (readonly [id: string, name: string])[]
  readonly charges: readonly BookCharge[]
  readonly asks: readonly PageAsk[]
  readonly prices: readonly PriceLessons[]
  readonly audit: readonly AuditEntry[]
  /** Epoch ms; older rows are deleted, some with each batch. */
  readonly pruneBefore: number
}

export interface PageNews {
  readonly key: string
  readonly period: Period
  /** Settled by all runs in this period. */
  readonly used: number
  /** Part that this run may hand out in this period, used or not. */
  readonly share: number
  readonly settled: number
  /** Held by other runs. */
  readonly heldElsewhere: number
  /** Wished for by other runs. */
  readonly wishedElsewhere: number
  readonly isClosed: boolean
}

/** Credits that a run held when it died. They count as used. */
export interface LostCredits {
  readonly key: string
  readonly credits: number
}

export interface BookLosses {
  readonly lost: readonly LostCredits[]
  /** Held by this run again: it was only paused when another took it for dead. */
  readonly regained: readonly LostCredits[]
}

export interface BookAnswer extends BookLosses {
  readonly pages: readonly PageNews[]
  readonly hasOthers: boolean
}

export interface BookOpened extends BookLosses {
  readonly prices: readonly PriceLessons[]
  /** Path of a damaged file that was set aside; `null` for a sound one. */
  readonly setAside: string | null
  readonly hasOthers: boolean
}

/** Calls of the thread: what it is asked, and what it answers. */
export interface BookCalls {
  readonly open: { readonly ask: BookOpening; readonly answer: BookOpened }
  readonly commit: { readonly ask: BookBatch; readonly answer: BookAnswer }
  readonly sums: {
    /** Epoch ms, both days included. */
    readonly ask: { readonly since: number; readonly until: number }
    readonly answer: readonly (readonly [key: string, sums: UsageSums])[]
  }
  readonly look: {
    readonly ask: { readonly account: string; readonly look: PlanLook }
    readonly answer: PlanStory
  }
  readonly close: { readonly ask: null; readonly answer: null }
}

export type ToBook = {
  [Type in keyof BookCalls]: {
    readonly type: Type
    readonly id: number
    readonly ask: BookCalls[Type]['ask']
  }
}[keyof BookCalls]

export type BookReply = BookCalls[keyof BookCalls]['answer']

export type FromBook =
  | { readonly type: 'started' }
  /** The file is locked by another gateway, which makes it or sets it aside; or it is brought to this version's form. */
  | { readonly type: 'waiting'; readonly reason: 'locked' | 'upgrading' }
  | { readonly type: 'answered'; readonly id: number; readonly answer: BookReply }
  | { readonly type: 'failed'; readonly id: number; readonly reason: BookFailure }

export const LOCKED =
  'another gateway is making the file or setting a damaged one aside; its lock lapses after 30 s if it was killed'

export const UPGRADING =
  'the file is being brought to the form of this version, which takes minutes on a slow disk'

export interface BookFailure {
  /** SQLite's extended result code, or 0. */
  readonly errcode: number
  /** Node's, such as ENOSPC; empty if there is none. */
  readonly code: string
  readonly message: string
  /** Device and inode of a damaged file that must be set aside; `null` for other failures. */
  readonly damagedFile: string | null
  /** The thread ended: the batch may have been written. */
  readonly isUnsure: boolean
}
