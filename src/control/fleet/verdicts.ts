import type { Bar } from '../../kiro/wire/fault-table.ts'
import { ErrorTable } from '../../shared/error-table.ts'
import type { ErrorCode } from '../../shared/errors.ts'
import { BARS } from '../account/verdict-memory.ts'
import { type Checked, jsonReader, Type } from '../../shared/schema-type.ts'

/*
 * Verdicts on the account as codes: the upstream's words may quote a client. The largest number counts, so order and
 * repetition do not matter. They tell the time left, since clocks may be a day apart.
 */

/** `pause`: requests wait briefly; `suspended`: until there is another sign-in. */
export type Subject = Bar | 'pause' | 'suspended'

/** No quota is reset later than in a year. */
const LONGEST_MS = 366 * 86_400_000

const Verdict = Type.Object({
  n: Type.Number({ minimum: 0, maximum: 2 ** 48 }),
  /** Gateway; decides between two at once. */
  by: Type.String({ maxLength: 64 }),
  leftMs: Type.Number({ minimum: 0, maximum: LONGEST_MS }),
  code: Type.Unsafe<ErrorCode>({ enum: Object.keys(ErrorTable) }),
  /** Hash of the sign-in; '' if it is about the account. */
  of: Type.String({ maxLength: 64 }),
  times: Type.Number({ minimum: 0, maximum: 1_000 })
})

export interface AccountVerdict extends Checked<typeof Verdict> {
  /** Always empty. Earlier versions reject a record without it. */
  readonly message: ''
}

export type AccountVerdicts = Readonly<Partial<Record<Subject, AccountVerdict>>>

export const SUBJECTS: readonly Subject[] = [...BARS, 'pause', 'suspended']

type ReadVerdicts = Readonly<Partial<Record<Subject, Checked<typeof Verdict>>>>

const readVerdicts = jsonReader(
  Type.Unsafe<ReadVerdicts>({
    type: 'object',
    properties: Object.fromEntries(SUBJECTS.map((subject) => [subject, Verdict]))
  })
)

/** `null` for anything else: the record may contain anything. */
export function parseVerdicts(text: string): AccountVerdicts | null {
  const found = readVerdicts(text)
  return found === null ? null : laterBy(found, 0)
}

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

export function laterBy(verdicts: ReadVerdicts, ms: number): AccountVerdicts {
  const later: Partial<Record<Subject, AccountVerdict>> = {}
  for (const subject of SUBJECTS) {
    const verdict = verdicts[subject]
    if (verdict === undefined) continue
    later[subject] = toVerdict({ ...verdict, leftMs: verdict.leftMs - Math.max(0, ms) })
  }
  return later
}

export function toVerdict(verdict: Omit<AccountVerdict, 'message'>): AccountVerdict {
  return { ...verdict, message: '', leftMs: Math.min(LONGEST_MS, Math.max(0, verdict.leftMs)) }
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
