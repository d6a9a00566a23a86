import { creditsText } from '../../keys/key-text.ts'
import { type NamedKey, whyRefused } from '../../keys/key.ts'
import type { JsonObject } from '../../shared/json.ts'
import { toColumns } from '../terminal.ts'
import { toDay, toIso } from '../../shared/dates.ts'

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

export function keyTable(keys: readonly NamedKey[], now: number): readonly string[] {
  const rows = keys.map((key) => {
    const { name, credits, requestsPerMinute, maxStreams, models } = key
    return [
      name,
      stateOf(key, now),
      credits === null ? '-' : creditsText(credits),
      requestsPerMinute?.toString() ?? '-',
      maxStreams?.toString() ?? '-',
      key.expiresAt === null ? '-' : toDay(key.expiresAt - 1), // the last on which it is good
      models?.join(',') ?? '-'
    ]
  })
  return toColumns([HEADINGS, ...rows])
}

const HEADINGS = ['NAME', 'STATE', 'CREDITS', 'PER MINUTE', 'STREAMS', 'EXPIRES', 'MODELS']

export function keyDetails(key: NamedKey, now: number): readonly string[] {
  const { credits, requestsPerMinute, maxStreams, models, revokedAt, expiresAt } = key
  const grace = graceOf(key, now)
  const rows: readonly (readonly [name: string, value: string])[] = [
    ['name', key.name],
    ['id', key.id],
    ['state', stateOf(key, now)],
    ['credits', credits === null ? NO_LIMIT : creditsText(credits)],
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

const NO_LIMIT = 'no limit'

function stateOf(key: NamedKey, now: number): 'in force' | 'revoked' | 'expired' {
  return whyRefused(key, now) ?? 'in force'
}

function graceOf({ hashes }: NamedKey, now: number): number | null {
  const ends = hashes.flatMap(({ until }) => (until !== null && until > now ? [until] : []))
  return ends.length === 0 ? null : Math.max(...ends)
}
