import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite'
import type { Metering } from '../../ipc/usage-row.ts'
import { DAY_MS, SUM_COLUMNS, toSums } from '../book/usage-sums.ts'
import type {
  AuditSearch,
  FoundAudit,
  FoundRequests,
  FoundRow,
  FoundSum,
  FoundSums,
  RequestSearch,
  SumGroup,
  SumSearch,
  UsageFindings,
  UsageSearch
} from './search-messages.ts'

/** Rows looked at between two looks at the clock: some 20 ms. */
const CHUNK_ROWS = 50_000
/**
 * Rows are in the order in which they were written: nearly that of time. A bound of time may be off by the rows that
 * were waiting then.
 */
const SLACK_ROWS = 10_000
const BUSY_MS = 2_000

/** Answers one question from `usage.db`, which others may be writing. @throws the error of SQLite */
export function searchUsage<Type extends UsageSearch['type']>(
  path: string,
  question: UsageSearch & { readonly type: Type }
): UsageFindings[Type]
export function searchUsage(path: string, question: UsageSearch): unknown {
  using db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS })
  switch (question.type) {
    case 'requests':
      return findRequests(db, question.search)
    case 'request':
      return findRequest(db, question.n, question.keys)
    case 'sums':
      return findSums(db, question.search)
    case 'audit':
      return findAudit(db, question.search)
    case 'last-days':
      return lastDays(db)
    case 'names':
      return namesIn(db)
  }
}

const COLUMNS = `requests.rowid AS n, at, key, coalesce(name, key) AS name, client, dialect, model, status, code, input,
  output, cached, credits, total_ms, first_ms, repairs, times, metering, requests.id AS request_id, facts`
const FROM = 'FROM requests LEFT JOIN keys ON keys.id = key'

/** Goes back in time, chunk by chunk, until the page is full or time is up. */
function findRequests(db: DatabaseSync, search: RequestSearch): FoundRequests {
  const deadline = performance.now() + search.timeMs
  const span = spanOf(db, search)
  if (span === null) return { rows: [], next: null, isComplete: true, searchedTo: null }
  // The other half is for the rows, if ids alone take too long.
  const matches = matchesIn(db, search, deadline - search.timeMs / 2)
  const { where, values } = conditionsOf(search, matches)
  const chunk = matches === null ? CHUNK_ROWS : Infinity
  const statement = db.prepare(
    `SELECT ${COLUMNS} ${FROM} WHERE requests.rowid BETWEEN :low AND :high AND ${where}
     ORDER BY requests.rowid DESC LIMIT :limit`
  )
  const rows: FoundRow[] = []
  let high = span.high
  while (high >= span.low) {
    const low = Math.max(span.low, high - chunk + 1)
    const limit = search.limit + 1 - rows.length
    rows.push(...statement.all({ ...values, low, high, limit }).map(toRow))
    high = low - 1
    if (rows.length > search.limit) {
      const page = rows.slice(0, search.limit)
      const last = page.at(-1)
      return {
        rows: page,
        next: last?.n ?? null,
        isComplete: true,
        searchedTo: last?.at ?? null
      }
    }
    if (high >= span.low && performance.now() >= deadline) {
      return { rows, next: high + 1, isComplete: false, searchedTo: timeOf(db, high + 1) }
    }
  }
  return { rows, next: null, isComplete: true, searchedTo: timeOf(db, span.low) }
}

interface RowSpan {
  readonly low: number
  readonly high: number
}

/** Rows that may fit, by the sums of days; `null` if there are none. */
function spanOf(db: DatabaseSync, search: RequestSearch): RowSpan | null {
  const days = daysOf(db, search)
  if (days === null) return null
  const since = Math.max(search.since, days.first * DAY_MS)
  const until = Math.min(search.until, (days.last + 1) * DAY_MS)
  const first = db.prepare('SELECT rowid AS n FROM requests WHERE at >= ? ORDER BY at LIMIT 1')
  const last = db.prepare('SELECT rowid AS n FROM requests WHERE at < ? ORDER BY at DESC LIMIT 1')
  const [low, high] = [numberIn(first, since), numberIn(last, until)]
  if (low === null || high === null) return null
  const end = search.before === null ? Infinity : search.before - 1
  const span = { low: Math.max(1, low - SLACK_ROWS), high: Math.min(high + SLACK_ROWS, end) }
  return span.low > span.high ? null : span
}

function numberIn(statement: StatementSync, at: number): number | null {
  const n = statement.get(at)?.['n']
  return n === undefined || n === null ? null : Number(n)
}

function daysOf(db: DatabaseSync, search: RequestSearch) {
  const { keys, model, client, isFailed, code } = search
  const bounds = [Math.floor(search.since / DAY_MS), Math.ceil(search.until / DAY_MS)]
  const [since = 0, until = 0] = bounds
  const found = db
    .prepare(
      `SELECT min(day) AS first, max(day) AS last FROM days WHERE day BETWEEN :since AND :until
         AND (:keys IS NULL OR key IN (SELECT value FROM json_each(:keys)))
         AND (:model IS NULL OR model = :model) AND (:client IS NULL OR client = :client)
         AND (:failed = 0 OR failed > 0)`
    )
    .get({
      since,
      until,
      keys: keys === null ? null : JSON.stringify(keys),
      model,
      client,
      failed: isFailed || code !== null ? 1 : 0
    })
  const [first, last] = [found?.['first'], found?.['last']]
  if (typeof first !== 'number' || typeof last !== 'number') return null
  return { first, last }
}

/** A text in more ids than that fills pages without a list of them. */
const MAX_MATCHES = 1_000

/**
 * Rows whose id has the text, found in the index alone: a fifth of the time that the rows take. `null` if there are too
 * many, or time is up: then the rows are searched themselves, chunk by chunk.
 */
function matchesIn(
  db: DatabaseSync,
  { id, since, until }: RequestSearch,
  deadline: number
): readonly number[] | null {
  if (id === null) return null
  const chunk = db.prepare(
    `SELECT n FROM (SELECT rowid AS n, id FROM requests WHERE at >= :from AND at < :to)
     WHERE instr(id, :id) > 0 LIMIT :limit`
  )
  const start = db.prepare(
    `SELECT at FROM requests WHERE at >= :since AND at < :to ORDER BY at DESC LIMIT 1 OFFSET ${CHUNK_ROWS}`
  )
  const found: number[] = []
  for (let to = until; ; ) {
    const began = start.get({ since, to })?.['at']
    const from = began === undefined ? since : Math.min(Number(began), to - 1) // many may share a time
    const limit = MAX_MATCHES + 1 - found.length
    for (const { n } of chunk.all({ from, to, id, limit })) found.push(Number(n))
    if (found.length > MAX_MATCHES) return null
    if (from <= since) return found
    if (performance.now() >= deadline) return null
    to = from
  }
}

function conditionsOf(search: RequestSearch, matches: readonly number[] | null) {
  const { keys, model, client, status, code, isFailed, id, since, until } = search
  const conditions = ['at >= :since', 'at < :until']
  const values: Record<string, string | number> = { since, until }
  const add = (condition: string, name: string, value: string | number | null): void => {
    if (value === null) return
    conditions.push(condition)
    values[name] = value
  }
  add(
    'key IN (SELECT value FROM json_each(:keys))',
    'keys',
    keys === null ? null : JSON.stringify(keys)
  )
  add('model = :model', 'model', model)
  add('client = :client', 'client', client)
  add('status = :status', 'status', status)
  add('code = :code', 'code', code)
  if (matches === null) add('instr(requests.id, :id) > 0', 'id', id)
  else
    add(
      'requests.rowid IN (SELECT value FROM json_each(:matches))',
      'matches',
      JSON.stringify(matches)
    )
  if (isFailed) conditions.push(`code <> ''`)
  return { where: conditions.join(' AND '), values }
}

function findRequest(db: DatabaseSync, n: number, keys: readonly string[] | null): FoundRow | null {
  const row = db.prepare(`SELECT ${COLUMNS} ${FROM} WHERE requests.rowid = ?`).get(n)
  const found = row === undefined ? null : toRow(row)
  return found === null || (keys !== null && !keys.includes(found.key)) ? null : found
}

function timeOf(db: DatabaseSync, n: number): number | null {
  const row = db.prepare('SELECT at FROM requests WHERE rowid >= ? ORDER BY rowid LIMIT 1').get(n)
  return row === undefined ? null : Number(row['at'])
}

function toRow(row: Readonly<Record<string, unknown>>): FoundRow {
  const text = (name: string): string => String(row[name])
  const count = (name: string): number => Number(row[name])
  const metering = METERINGS.find((one) => one === row['metering'])
  return {
    n: count('n'),
    at: count('at'),
    key: text('key'),
    name: text('name'),
    client: text('client'),
    dialect: text('dialect'),
    model: text('model'),
    status: count('status'),
    code: text('code'),
    inputTokens: count('input'),
    outputTokens: count('output'),
    cachedTokens: count('cached'),
    credits: count('credits'),
    ...(metering !== undefined && { metering }),
    totalMs: count('total_ms'),
    firstMs: row['first_ms'] === null ? null : count('first_ms'),
    repairs: count('repairs'),
    times: count('times'),
    requestId: text('request_id'),
    facts: text('facts')
  }
}

const METERINGS: readonly Metering[] = ['metered', 'read on', 'measured']

const GROUPS: Readonly<Record<SumGroup, string>> = {
  day: 'day',
  key: 'coalesce(name, key)',
  model: 'model',
  client: 'client'
}

/** The newest days first, all else by credits. */
function findSums(db: DatabaseSync, search: SumSearch): FoundSums {
  const { by, split, keys, model, client, since, until, offset, limit } = search
  const part = split === null ? 'NULL' : GROUPS[split]
  const usual = by === 'day' ? 'grp DESC, credits DESC' : 'credits DESC, requests DESC, grp'
  const from = `FROM days LEFT JOIN keys ON keys.id = key
    WHERE day BETWEEN :since AND :until AND (:keys IS NULL OR key IN (SELECT value FROM json_each(:keys)))
      AND (:model IS NULL OR model = :model) AND (:client IS NULL OR client = :client)`
  const values = {
    since,
    until,
    keys: keys === null ? null : JSON.stringify(keys),
    model,
    client
  }
  const rows = db
    .prepare(
      `SELECT ${GROUPS[by]} AS grp, ${part} AS part, ${SUM_COLUMNS} ${from}
       GROUP BY grp, part ORDER BY ${offset === null ? usual : 'grp, part'} LIMIT :limit OFFSET :offset`
    )
    .all({ ...values, limit, offset: offset ?? 0 })
  const total = db.prepare(`SELECT ${SUM_COLUMNS} ${from}`).get(values)
  return { rows: rows.map(toSum), total: toSums(total ?? {}) }
}

function toSum(row: Record<string, SQLOutputValue>): FoundSum {
  const { grp, part } = row
  return {
    group: typeof grp === 'number' ? grp : String(grp),
    split: typeof part === 'string' ? part : null,
    ...toSums(row)
  }
}

function findAudit(db: DatabaseSync, { before, limit }: AuditSearch): readonly FoundAudit[] {
  const rows = db
    .prepare('SELECT * FROM audit WHERE n < ? ORDER BY n DESC LIMIT ?')
    .all(before ?? Number.MAX_SAFE_INTEGER, limit)
  return rows.map((row) => ({
    n: Number(row['n']),
    at: Number(row['at']),
    who: String(row['who']),
    via: String(row['via']),
    address: String(row['address']),
    action: String(row['action']),
    subject: String(row['subject']),
    before: String(row['before']),
    after: String(row['after'])
  }))
}

function lastDays(db: DatabaseSync): readonly (readonly [string, number])[] {
  const rows = db.prepare('SELECT key, max(day) AS day FROM days GROUP BY key').all()
  return rows.map(({ key, day }) => [String(key), Number(day)])
}

function namesIn(db: DatabaseSync): readonly (readonly [string, string])[] {
  const rows = db.prepare('SELECT id, name FROM keys').all()
  return rows.map(({ id, name }) => [String(id), String(name)])
}
