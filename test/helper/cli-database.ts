import { DatabaseSync } from 'node:sqlite'

export interface CliRows {
  /** Of `auth_kv`: objects become JSON. */
  readonly auth?: Readonly<Record<string, unknown>>
  /** Of `state`, whose values are blobs; `null` leaves the table out. */
  readonly state?: Readonly<Record<string, unknown>> | null
  readonly isWal?: boolean
}

/** Makes a database as kiro-cli keeps it. */
export function makeCliDatabase(
  path: string,
  { auth = {}, state = {}, isWal = false }: CliRows
): void {
  using database = new DatabaseSync(path)
  if (isWal) database.exec('PRAGMA journal_mode = WAL')
  database.exec('CREATE TABLE auth_kv (key TEXT PRIMARY KEY, value TEXT)')
  const insert = database.prepare('INSERT INTO auth_kv VALUES (?, ?)')
  for (const [key, value] of Object.entries(auth)) insert.run(key, toText(value))
  if (state === null) return
  database.exec('CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB)')
  const remember = database.prepare('INSERT INTO state VALUES (?, ?)')
  for (const [key, value] of Object.entries(state)) remember.run(key, Buffer.from(toText(value)))
}

/** What a key of `auth_kv` holds. */
export function readCliToken(path: string, key: string): Record<string, unknown> {
  using database = new DatabaseSync(path)
  const row = database.prepare('SELECT value FROM auth_kv WHERE key = ?').get(key)
  return JSON.parse(String(row?.['value'])) as Record<string, unknown>
}

/** Changes members of what a key holds, as kiro-cli does when it renews. */
export function writeCliToken(path: string, key: string, changes: Record<string, unknown>): void {
  using database = new DatabaseSync(path, { timeout: 2000 })
  database.exec('BEGIN IMMEDIATE')
  const row = database.prepare('SELECT value FROM auth_kv WHERE key = ?').get(key)
  const next = { ...(JSON.parse(String(row?.['value'])) as object), ...changes }
  database.prepare('UPDATE auth_kv SET value = ? WHERE key = ?').run(JSON.stringify(next), key)
  database.exec('COMMIT')
}

function toText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
