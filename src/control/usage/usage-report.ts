import { existsSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { isMeant } from '../../keys/key-text.ts'
import type { NamedKey } from '../../keys/key.ts'
import { type GatewayError, messageOf, operatorError } from '../../shared/errors.ts'
import { parseJsonObject } from '../../shared/json.ts'
import type { UsageSums } from '../../ipc/usage-row.ts'
import { BOOK_DAYS, DAY_MS, SUM_COLUMNS, toSums, USAGE_SCHEMA } from '../book/usage-sums.ts'
import { dayOf, MAX_DAYS, parsePlan, type PlanStory } from '../plan/plan-record.ts'

export type UsageGroup = 'key' | 'model' | 'client' | 'metering' | 'day' | 'hour'

export interface UsageQuestion {
  readonly by: UsageGroup
  /** Epoch ms. */
  readonly since: number
  /** Name or id; `null` for all. */
  readonly key: string | null
}

export interface UsageLine extends UsageSums {
  readonly group: string
}

const HOUR_MS = 3_600_000

/** Rows in the form of day sums, for hours, parts of a day, and metering. Earlier versions lack some columns. */
function rowsSql(version: number): string {
  const times = version < 2 ? '1' : 'times'
  const metering = version < 3 ? `''` : 'metering'
  return `SELECT key, client, model, ${metering} AS metering, at, ${times} AS requests, (code <> '') * ${times} AS failed, input, output, cached, credits
    FROM requests WHERE at >= :since AND at < :until`
}
const DAYS = `SELECT key, client, model, '' AS metering, day * ${DAY_MS} AS at, requests, failed, input, output, cached, credits
  FROM days WHERE day >= :until / ${DAY_MS}`

const GROUPS: Readonly<Record<UsageGroup, string>> = {
  key: 'coalesce(name, key)',
  model: 'model',
  client: 'client',
  metering: 'metering',
  day: `at / ${DAY_MS}`,
  hour: `at / ${HOUR_MS}`
}

/**
 * Most used first; days and hours in order.
 * @throws {GatewayError} GW_CONFIG_INVALID without a readable record
 */
export async function readUsage(
  path: string,
  { by, since, key }: UsageQuestion
): Promise<readonly UsageLine[]> {
  const { db, version } = await openRecord(path)
  try {
    const midnight = Math.ceil(since / DAY_MS) * DAY_MS
    const isOfRows = by === 'hour' || by === 'metering'
    const until = isOfRows ? Number.MAX_SAFE_INTEGER : midnight
    const isTime = by === 'day' || by === 'hour'
    const rows = db
      .prepare(
        `SELECT ${GROUPS[by]} AS grp, ${SUM_COLUMNS} FROM (${rowsSql(version)} UNION ALL ${DAYS}) LEFT JOIN keys ON keys.id = key
         WHERE :keys IS NULL OR key IN (SELECT value FROM json_each(:keys))
         GROUP BY grp ORDER BY ${isTime ? 'grp' : 'credits DESC, requests DESC, grp'}`
      )
      .all({ since: Math.floor(since), until, keys: key === null ? null : idsOf(db, key) })
    return rows.map((row) => ({ group: groupText(by, row['grp']), ...toSums(row) }))
  } catch (cause) {
    throw unreadable(`${path} cannot be read (${messageOf(cause)}).`, cause)
  } finally {
    db.close()
  }
}

/** Micro-credits of one key on one UTC day, in days since the epoch. */
export interface KeyDay {
  readonly key: string
  readonly day: number
  readonly credits: number
}

/** Returns what each key used on each day; `null` without a readable record. */
export async function readKeyDays(path: string): Promise<readonly KeyDay[] | null> {
  if (!existsSync(path)) return null
  const found = await openRecord(path).catch(() => null)
  if (found === null) return null
  const { db } = found
  try {
    return db
      .prepare('SELECT key, day, total(credits) AS credits FROM days GROUP BY key, day')
      .all()
      .map(({ key, day, credits }) => ({
        key: String(key),
        day: Number(day),
        credits: Number(credits)
      }))
  } catch {
    return null
  } finally {
    db.close()
  }
}

export async function readPlan(path: string): Promise<PlanStory | null> {
  const found = await openRecord(path).catch(() => null)
  if (found === null) return null
  const { db } = found
  try {
    const last = db.prepare('SELECT record FROM plans ORDER BY at DESC LIMIT 1').get()
    const record = parsePlan(String(last?.['record']))
    if (record === null) return null
    const days = db.prepare(BOOK_DAYS).all(dayOf(record.at) - MAX_DAYS)
    return { record, bookDays: days.map(({ day, credits }) => [Number(day), Number(credits)]) }
  } catch {
    return null // of an earlier version
  } finally {
    db.close()
  }
}

/** Returns which of the keys a damaged book may have closed: those whose pages are closed or missing. All, if it cannot be read. */
export async function readClosed<K extends ClosableKey>(
  path: string,
  keys: readonly K[]
): Promise<readonly K[]> {
  if (!existsSync(path)) return []
  const found = await openRecord(path).catch(() => null)
  if (found === null) return keys
  const { db } = found
  try {
    const damagedAt = Number(
      db.prepare(`SELECT value FROM meta WHERE name = 'damaged-at'`).get()?.['value'] ?? 0
    )
    const page = db.prepare('SELECT page FROM pages WHERE key = ?')
    return keys.filter(({ id, createdAt }) => {
      const row = page.get(id)
      if (row === undefined) return createdAt < damagedAt
      return parseJsonObject(String(row['page']))?.['closedAt'] !== null
    })
  } catch {
    return keys // of an earlier version, or damaged
  } finally {
    db.close()
  }
}

type ClosableKey = Pick<NamedKey, 'id' | 'createdAt'>

/** Finds JSON of ids: a name may have moved between keys. Not in SQL, which ignores the case of ASCII only. */
function idsOf(db: DatabaseSync, text: string): string {
  const ids = db
    .prepare('SELECT id, name FROM keys')
    .all()
    .map(({ id, name }) => ({ id: String(id), name: String(name) }))
    .filter((one) => isMeant(one, text))
    .map(({ id }) => id)
  return JSON.stringify([...ids, text, text.trim().toLowerCase()]) // which may be one of `UnnamedKey`
}

interface OpenRecord {
  readonly db: DatabaseSync
  readonly version: number
}

async function openRecord(path: string): Promise<OpenRecord> {
  if (!existsSync(path)) throw unreadable(`${path} does not exist yet.`)
  const { DatabaseSync } = await import('node:sqlite')
  try {
    const db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS })
    const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version'])
    if (version >= 1 && version <= USAGE_SCHEMA) return { db, version }
    db.close()
    throw new Error(version > USAGE_SCHEMA ? 'it is of a newer version' : 'it is still empty')
  } catch (cause) {
    throw unreadable(`${path} cannot be read (${messageOf(cause)}).`, cause)
  }
}

/** A writing gateway delays a reader only for a moment. */
const BUSY_MS = 5_000

function unreadable(why: string, cause?: unknown): GatewayError {
  const message = `${why} A gateway records usage there from its first request, unless USAGE_LOG is false.`
  return operatorError(message, cause)
}

function groupText(by: UsageGroup, value: unknown): string {
  switch (by) {
    case 'day':
      return new Date(Number(value) * DAY_MS).toISOString().slice(0, 10)
    case 'hour':
      return `${new Date(Number(value) * HOUR_MS).toISOString().slice(0, 13)}:00Z`
    case 'key':
    case 'model':
    case 'client':
    case 'metering':
      return String(value)
  }
}
