import { isJsonObject, parseJsonObject } from '../shared/json.ts'
import { MAX_MEMBERS, MAX_NAME_CHARS } from './fleet-state.ts'

/** A part of a rate that one gateway leaves to another. */
export interface Loan {
  readonly count: number
  /** The borrower's question that it answers: it lasts from when that was sent. */
  readonly ask: number
  readonly termMs: number
}

/** Entry of a gateway about its part of a rate. Only that gateway changes it. */
export interface LoanEntry {
  /** `FLEET_MEMBER` */
  readonly name: string
  /** Goes up with each change. */
  readonly seq: number
  /** Total rate as seen by it; 0 without one. */
  readonly rate: number
  /** Amount that it needs beside its own part, as of its last question. */
  readonly want: number
  /** Number of its last question. */
  readonly ask: number
  /** By borrower. */
  readonly loans: Readonly<Record<string, Loan>>
  /** It has gone, and from then on nothing of its own was used or lent after so many ms; `null` while it is there. */
  readonly left: number | null
}

/** By process. */
export type LoanBook = Readonly<Record<string, LoanEntry>>

/** Processes that have gone may stand there beside those that are there. */
const MAX_ENTRIES = 2 * MAX_MEMBERS
const MAX_COUNT = 2 ** 40
const MAX_ID_CHARS = 64

/** The book with one's own entry, and without those of earlier processes of one's name; `null` where it is so already. */
export function withEntry(book: LoanBook, id: string, own: LoanEntry): LoanBook | null {
  const others = Object.entries(book).filter(
    ([other, one]) => other !== id && one.name !== own.name
  )
  const isThere = book[id]?.seq === own.seq
  if (isThere && others.length === Object.keys(book).length - 1) return null
  // Those that have gone without a word are the first in the book, as everybody else is still changing.
  return Object.fromEntries([...others.slice(-(MAX_ENTRIES - 1)), [id, own]])
}

/** Parses a loan book; `null` for anything else. Never throws: the record may contain anything. */
export function parseLoanBook(text: string): LoanBook | null {
  const book = parseJsonObject(text)
  if (book === null) return null
  const read: Record<string, LoanEntry> = {}
  const entries = Object.entries(book)
  if (entries.length > MAX_ENTRIES) return null
  for (const [id, one] of entries) {
    if (!isId(id) || !isLoanEntry(one)) return null
    read[id] = one
  }
  return read
}

function isLoanEntry(value: unknown): value is LoanEntry {
  if (!isJsonObject(value)) return false
  const { name, seq, rate, want, ask, loans, left } = value
  if (typeof name !== 'string' || name.length > MAX_NAME_CHARS) return false
  if (![seq, rate, want, ask].every(isCount) || !(left === null || isTime(left))) return false
  if (!isJsonObject(loans)) return false
  const all = Object.entries(loans)
  return all.length <= MAX_ENTRIES && all.every(([id, loan]) => isId(id) && isLoan(loan))
}

function isLoan(value: unknown): boolean {
  return (
    isJsonObject(value) &&
    isCount(value['count']) &&
    isCount(value['ask']) &&
    isTime(value['termMs'])
  )
}

function isId(id: string): boolean {
  return id !== '' && id.length <= MAX_ID_CHARS && id !== '__proto__'
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && isTime(value)
}

function isTime(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= MAX_COUNT
}
