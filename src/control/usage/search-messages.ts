import type { UsageSums } from '../../ipc/usage-row.ts'
import type { AuditEntry, BookRow } from '../book/book-messages.ts'

/* Messages between the primary and the thread that searches `usage.db`. One question at a time. */

export interface RequestSearch {
  /** Ids of keys; `null` for all. */
  readonly keys: readonly string[] | null
  readonly model: string | null
  readonly client: string | null
  readonly status: number | null
  readonly code: string | null
  readonly isFailed: boolean
  /** Part of a request's id. */
  readonly id: string | null
  /** Epoch ms, like the next. */
  readonly since: number
  readonly until: number
  /** Finds rows before this number. */
  readonly before: number | null
  readonly limit: number
  readonly timeMs: number
}

export interface FoundRow extends Omit<BookRow, 'turn'> {
  readonly n: number
  readonly times: number
  readonly name: string
  readonly requestId: string
  /** Facts as `factsText()` writes them; empty in rows of earlier versions. */
  readonly facts: string
}

export interface FoundRequests {
  /** The newest first. */
  readonly rows: readonly FoundRow[]
  /** Number from which to go on; `null` at the end. */
  readonly next: number | null
  /** False if time was up before the page was full. */
  readonly isComplete: boolean
  /** Epoch ms down to which rows were looked at; `null` if there were none. */
  readonly searchedTo: number | null
}

export type SumGroup = 'day' | 'key' | 'model' | 'client'

export interface SumSearch {
  readonly by: SumGroup
  readonly split: Exclude<SumGroup, 'day'> | null
  readonly keys: readonly string[] | null
  readonly model: string | null
  readonly client: string | null
  /** Days since the epoch, both included. */
  readonly since: number
  readonly until: number
  /** Skips so many rows, which are in the order of their names then; `null` for the usual order. */
  readonly offset: number | null
  readonly limit: number
}

export interface FoundSums {
  readonly rows: readonly FoundSum[]
  /** Sums of all rows, also of those beyond the limit. */
  readonly total: UsageSums
}

export interface FoundSum extends UsageSums {
  /** Day since the epoch, or a name. */
  readonly group: number | string
  readonly split: string | null
}

export interface AuditSearch {
  readonly before: number | null
  readonly limit: number
}

export interface FoundAudit extends AuditEntry {
  readonly n: number
}

export type UsageSearch =
  | { readonly type: 'requests'; readonly search: RequestSearch }
  | { readonly type: 'request'; readonly n: number; readonly keys: readonly string[] | null }
  | { readonly type: 'sums'; readonly search: SumSearch }
  | { readonly type: 'audit'; readonly search: AuditSearch }
  /** Last day with requests, by key. */
  | { readonly type: 'last-days' }
  /** Ids and last names of all keys that were ever recorded. */
  | { readonly type: 'names' }

/** Findings, by the kind of question. */
export interface UsageFindings {
  readonly requests: FoundRequests
  readonly request: FoundRow | null
  readonly sums: FoundSums
  readonly audit: readonly FoundAudit[]
  readonly 'last-days': readonly (readonly [key: string, day: number])[]
  readonly names: readonly (readonly [id: string, name: string])[]
}

export interface ToSearcher {
  readonly path: string
  readonly question: UsageSearch
}

export type FromSearcher = { readonly found: unknown } | { readonly failure: string }
