import type { AllowanceEntry } from '../../admission/allowance-core.ts'
import type { Period, PeriodKind } from '../../keys/period.ts'
import { asJsonObject, type JsonObject, parseJsonObject } from '../../shared/json.ts'

/** What was used of the credits of one key, in the last period in which anything was. */
export interface SavedCredits {
  /** Of its kind nothing is known where only a journal told of it. */
  readonly period: Pick<Period, 'number'> & Partial<Omit<Period, 'number'>>
  /** Micro-credits. */
  readonly settled: number
}

/** By the id of the key. */
export type CreditSums = Map<string, SavedCredits>

/** What a run of the gateway has saved. */
export interface Saved {
  readonly credits: ReadonlyMap<string, SavedCredits>
  /** Names of files that are counted in it and may still be there. */
  readonly taken: ReadonlySet<string>
  /** It has ended, and knows that. */
  readonly isOver: boolean
}

export const NOTHING_SAVED: Saved = { credits: new Map(), taken: new Set(), isOver: false }

/** What was used in an older period than another does not matter any more. */
export function addCredits(sums: CreditSums, keyId: string, more: SavedCredits): void {
  const before = sums.get(keyId)
  if (before === undefined || before.period.number < more.period.number) sums.set(keyId, more)
  else if (before.period.number === more.period.number) {
    const period = before.period.kind === undefined ? more.period : before.period
    sums.set(keyId, { period, settled: before.settled + more.settled })
  }
}

/** What workers have left: what they had reserved counts as used. */
export function addEntries(sums: CreditSums, entries: readonly AllowanceEntry[]): void {
  for (const { name, period, used, reserved } of entries) {
    if (period === 0) continue // it had not begun to use any
    const keyId = name.slice(0, name.lastIndexOf('/'))
    addCredits(sums, keyId, { period: { number: period }, settled: used + reserved })
  }
}

const VERSION = 1

export function formatSaved({ credits, taken, isOver }: Saved): string {
  const saved = {
    version: VERSION,
    isOver,
    credits: Object.fromEntries(credits),
    taken: [...taken]
  }
  return `${JSON.stringify(saved)}\n`
}

/** @throws {Error} where it is not what `formatSaved()` makes */
export function parseSaved(text: string): Saved {
  const saved = parseJsonObject(text)
  const credits = asJsonObject(saved?.['credits'])
  const taken = saved?.['taken']
  if (saved?.['version'] !== VERSION || credits === null || !Array.isArray(taken)) {
    throw new Error('it is damaged, or of another version')
  }
  return {
    credits: new Map(Object.entries(credits).map(([id, one]) => [id, toSaved(asJsonObject(one))])),
    taken: new Set(taken.map(String)),
    isOver: saved['isOver'] === true
  }
}

function toSaved(entry: JsonObject | null): SavedCredits {
  const { number, kind, startsAt, endsAt } = asJsonObject(entry?.['period']) ?? {}
  const settled = entry?.['settled']
  if (!isCount(number) || !isCount(settled)) throw new Error('a number in it is none')
  const isWhole = isKind(kind) && isCount(startsAt) && (endsAt === null || isCount(endsAt))
  return { settled, period: isWhole ? { number, kind, startsAt, endsAt } : { number } }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isKind(value: unknown): value is PeriodKind {
  return ['day', 'week', 'month', 'total'].some((kind) => kind === value)
}
