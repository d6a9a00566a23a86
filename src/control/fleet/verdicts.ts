import type { Bar } from '../../kiro/wire/fault-table.ts'
import { ErrorTable } from '../../shared/error-table.ts'
import type { ErrorCode } from '../../shared/errors.ts'
import { isJsonObject, parseJsonObject } from '../../shared/json.ts'

/*
 * Verdicts on the account as codes: the upstream's words may quote a client. The largest number counts, so order and
 * repetition do not matter. They tell the time left, since clocks may be a day apart.
 */

/** `pause`: requests wait briefly; `suspended`: until there is another sign-in. */
export type Subject = Bar | 'pause' | 'suspended'

export interface AccountVerdict {
  readonly n: number
  /** Gateway; decides between two at once. */
  readonly by: string
  readonly leftMs: number
  readonly code: ErrorCode
  /** Always empty. Earlier versions reject a record without it. */
  readonly message: ''
  /** Hash of the sign-in; '' if it is about the account. */
  readonly of: string
  readonly times: number
}

export type AccountVerdicts = Readonly<Partial<Record<Subject, AccountVerdict>>>

export const BARS: readonly Bar[] = [
  'monthly',
  'daily',
  'hourly',
  'unnamed',
  'credit-rate',
  'user-rate',
  'rate',
  'suspicion',
  'not-admitted'
]

export const SUBJECTS: readonly Subject[] = [...BARS, 'pause', 'suspended']

/** No quota is reset later than in a year. */
const LONGEST_MS = 366 * 86_400_000
const MAX_N = 2 ** 48
const MAX_TIMES = 1_000
const MAX_ID_CHARS = 64

/** Commutative, associative, idempotent. */
export function mergeVerdicts(a: AccountVerdicts, b: AccountVerdicts): AccountVerdicts {
  const merged: Partial<Record<Subject, AccountVerdict>> = {}
  for (const subject of SUBJECTS) {
    const verdict = newestOf(a[subject], b[subject])
    if (verdict !== undefined) merged[subject] = verdict
  }
  return merged
}

export function isNewer(
  a: Pick<AccountVerdict, 'n' | 'by'>,
  b: Pick<AccountVerdict, 'n' | 'by'> | undefined
): boolean {
  return b === undefined || a.n > b.n || (a.n === b.n && a.by > b.by)
}

export function laterBy(verdicts: AccountVerdicts, ms: number): AccountVerdicts {
  const later: Partial<Record<Subject, AccountVerdict>> = {}
  for (const subject of SUBJECTS) {
    const verdict = verdicts[subject]
    if (verdict === undefined) continue
    later[subject] = { ...verdict, leftMs: Math.max(0, verdict.leftMs - Math.max(0, ms)) }
  }
  return later
}

export function toVerdict(verdict: Omit<AccountVerdict, 'message'>): AccountVerdict {
  return { ...verdict, message: '', leftMs: Math.min(LONGEST_MS, Math.max(0, verdict.leftMs)) }
}

/** `null` for anything else: the record may contain anything. */
export function parseVerdicts(text: string): AccountVerdicts | null {
  const found = parseJsonObject(text)
  if (found === null) return null
  const verdicts: Partial<Record<Subject, AccountVerdict>> = {}
  for (const subject of SUBJECTS) {
    const value = found[subject]
    if (value === undefined) continue
    const verdict = readVerdict(value)
    if (verdict === null) return null
    verdicts[subject] = verdict
  }
  return verdicts
}

function readVerdict(value: unknown): AccountVerdict | null {
  if (!isJsonObject(value)) return null
  const { n, by, leftMs, code, of, times } = value
  if (!isWithin(n, MAX_N) || !isWithin(leftMs, LONGEST_MS) || !isWithin(times, MAX_TIMES))
    return null
  if (!isText(by, MAX_ID_CHARS) || !isText(of, MAX_ID_CHARS)) return null
  if (typeof code !== 'string' || !isErrorCode(code)) return null
  return { n, by, leftMs, code, message: '', of, times }
}

function newestOf(
  a: AccountVerdict | undefined,
  b: AccountVerdict | undefined
): AccountVerdict | undefined {
  if (a === undefined || b === undefined) return a ?? b
  if (isNewer(a, b)) return a
  if (isNewer(b, a)) return b
  return a.leftMs <= b.leftMs ? a : b
}

function isWithin(value: unknown, most: number): value is number {
  return typeof value === 'number' && value >= 0 && value <= most
}

function isText(value: unknown, maxChars: number): value is string {
  return typeof value === 'string' && value.length <= maxChars
}

function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ErrorTable, text)
}
