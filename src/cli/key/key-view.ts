import { creditsText } from '../../keys/key-text.ts'
import { graceOf, type NamedKey, whyRefused } from '../../keys/key.ts'
import type { JsonObject } from '../../shared/json.ts'
import { toColumns } from '../terminal.ts'
import { toDay, toIso } from '../../shared/dates.ts'
import type { KeyUse } from './key-use.ts'

/** For `--json`: without hashes; times are ISO 8601. */
export function toKeyJson(key: NamedKey, now: number): JsonObject {
  const { id, name, credits, requestsPerMinute, maxStreams, models } = key
  return {
    id,
    name,
    state: stateOf(key, now),
    credits,
    requestsPerMinute,
    maxStreams,
    models,
    overage: key.mayOverage,
    createdAt: toIso(key.createdAt),
    expiresAt: toIso(key.expiresAt),
    revokedAt: toIso(key.revokedAt),
    oldKeyUntil: toIso(graceOf(key, now))
  }
}

export function keyTable(
  keys: readonly NamedKey[],
  use: ReadonlyMap<string, KeyUse>,
  now: number
): readonly string[] {
  const rows = keys.map((key) => {
    const { used = null, lastSeen = null } = use.get(key.id) ?? {}
    const left = leftOf(key, use.get(key.id), now)
    const { name, credits, requestsPerMinute, maxStreams, models } = key
    return [
      name,
      stateOf(key, now),
      used === null ? '-' : amountText(used),
      left === null ? '-' : amountText(left),
      credits === null ? '-' : creditsText(credits),
      lastSeen === null ? '-' : seenText(lastSeen, now),
      requestsPerMinute?.toString() ?? '-',
      maxStreams?.toString() ?? '-',
      key.expiresAt === null ? '-' : toDay(key.expiresAt - 1), // the last on which it is good
      models?.join(',') ?? '-'
    ]
  })
  const table = [HEADINGS, ...rows]
  const isShown = (column: number): boolean =>
    column < ALWAYS_SHOWN || rows.some((row) => row[column] !== '-')
  return toColumns(table.map((row) => row.filter((_, column) => isShown(column))))
}

const HEADINGS = [
  'NAME',
  'STATE',
  'USED',
  'LEFT',
  'CREDITS',
  'LAST SEEN',
  'PER MINUTE',
  'STREAMS',
  'EXPIRES',
  'MODELS'
]
/** Further columns are limits that few keys have, and there are 80 columns. */
const ALWAYS_SHOWN = 6

function amountText(credits: number): string {
  return credits.toFixed(3)
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** Takes a time or a UTC day. */
function seenText(at: string, now: number): string {
  if (!at.includes('T')) return at
  const ago = Math.max(0, now - Date.parse(at))
  if (ago < HOUR_MS) return `${Math.floor(ago / MINUTE_MS)} min ago`
  return ago < 24 * HOUR_MS ? `${Math.floor(ago / HOUR_MS)} h ago` : at.slice(0, 10)
}

export function keyDetails(key: NamedKey, now: number, use?: KeyUse): readonly string[] {
  const { credits, requestsPerMinute, maxStreams, models, revokedAt, expiresAt } = key
  const grace = graceOf(key, now)
  const rows: readonly (readonly [name: string, value: string])[] = [
    ['name', key.name],
    ['id', key.id],
    ['state', stateOf(key, now)],
    ['credits', credits === null ? NO_LIMIT : creditsText(credits)],
    ...useRows(key, use, now),
    ['per minute', requestsPerMinute === null ? NO_LIMIT : `${requestsPerMinute} requests`],
    ['streams', maxStreams === null ? NO_LIMIT : `${maxStreams} at a time`],
    ['models', models === null ? 'all' : models.join(', ')],
    ['overage', key.mayOverage ? 'allowed' : 'per ALLOW_OVERAGE'],
    ['expires', toIso(expiresAt) ?? 'never'],
    ['made', toIso(key.createdAt) ?? ''],
    ...(revokedAt === null ? [] : [['revoked', toIso(revokedAt) ?? ''] as const]),
    ...(grace === null ? [] : [['old key until', toIso(grace) ?? ''] as const])
  ]
  return toColumns(rows)
}

/** A key that is refused has nothing left to use. */
function leftOf(key: NamedKey, use: KeyUse | undefined, now: number): number | null {
  return whyRefused(key, now) === null ? (use?.left ?? null) : null
}

function useRows(
  key: NamedKey,
  use: KeyUse | undefined,
  now: number
): readonly (readonly [name: string, value: string])[] {
  if (use === undefined) return []
  const { used, lastSeen } = use
  const left = leftOf(key, use, now)
  return [
    ...(used === null ? [] : [['used', amountText(used)] as const]),
    ...(left === null ? [] : [['left', amountText(left)] as const]),
    ['last seen', lastSeen === null ? 'never' : seenText(lastSeen, now)]
  ]
}

const NO_LIMIT = 'no limit'

function stateOf(key: NamedKey, now: number): 'in force' | 'revoked' | 'expired' {
  return whyRefused(key, now) ?? 'in force'
}
