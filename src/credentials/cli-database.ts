import { stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { Logger } from '../observe/logger.ts'
import { codeOf, operatorError, GatewayError } from '../shared/errors.ts'
import { isProfileArn } from '../kiro/wire/hosts.ts'
import { asJsonObject, type JsonObject, parseJsonObject, textMember } from '../shared/json.ts'
import { isWritable } from '../shared/private-files.ts'
import { inlineClient, parseSignIn, problemTeller } from './parse-sign-in.ts'
import { lockPathOf } from '../shared/file-lock.ts'
import {
  type CredentialSource,
  hashOf,
  type OidcClient,
  type StoredCredential
} from './stored-credential.ts'

export interface CliDatabaseOptions {
  readonly path: string
  readonly ssoRegion: string
  readonly isReadonly: boolean
  readonly log: Pick<Logger, 'warn'>
  readonly name?: string
}

/** Token keys by precedence, with the registrations that may belong to them. */
const TOKEN_KEYS = [
  { key: 'kirocli:social:token', method: 'social', registrations: [] },
  {
    key: 'kirocli:odic:token',
    method: 'IdC',
    registrations: ['kirocli:odic:device-registration', 'codewhisperer:odic:device-registration']
  },
  { key: 'kirocli:external-idp:token', method: 'external_idp', registrations: [] },
  {
    key: 'codewhisperer:odic:token',
    method: 'IdC',
    registrations: ['codewhisperer:odic:device-registration', 'kirocli:odic:device-registration']
  }
] as const

const AUTH_KEYS = [
  ...TOKEN_KEYS.map(({ key }) => key),
  'kirocli:odic:device-registration',
  'codewhisperer:odic:device-registration'
]
const PROFILE_KEY = 'api.codewhisperer.profile'

/** Anything longer is damage. SQLite tells the length without reading the value. */
const MAX_VALUE_BYTES = 1024 * 1024
const QUERY_WITHOUT_STATE = `
  SELECT key, iif(octet_length(value) > ${MAX_VALUE_BYTES}, '', value) AS value
  FROM auth_kv WHERE key IN (${quoted(AUTH_KEYS)})`
const QUERY = `${QUERY_WITHOUT_STATE}
  UNION ALL SELECT key, value FROM state
  WHERE key = '${PROFILE_KEY}' AND octet_length(value) <= ${MAX_VALUE_BYTES}`

/** SQLite's own busy timeout would block this process. */
const BUSY_MS = 5_000
const BUSY_POLL_MS = 50

/**
 * Reads the sign-in of kiro-cli or Amazon Q (kiro-protocol §3.3). The database is open only during a query, because the
 * program may write. Renewed tokens go back only while the key holds the used one.
 */
export function cliDatabaseSource(options: CliDatabaseOptions) {
  const { ssoRegion, isReadonly, log } = options
  const path = resolve(options.path)
  const { name = `KIRO_CLI_DB_FILE ${path}` } = options
  const warn = problemTeller(name, 'credentials database has unusable entries', log)
  return {
    id: hashOf(`database:${path}`),
    name,
    loginHint:
      'Sign in again with "kiro-cli login"; the gateway picks up the new tokens within a minute.',
    lockPath: lockPathOf(path),
    async read(): Promise<StoredCredential> {
      try {
        const { stored, oddities } = signInOf(await readRows(path), ssoRegion)
        warn(oddities)
        return stored
      } catch (cause) {
        if (cause instanceof GatewayError) throw cause
        throw operatorError(
          `${name} ${describeProblem(cause)} Expected the database of kiro-cli or Amazon Q, signed in.`,
          cause
        )
      }
    },
    writeBack: async (renewed: StoredCredential, previous: string | null) =>
      isReadonly ? 'SQLITE_READONLY is set' : writeBack(path, renewed, previous)
  } satisfies CredentialSource
}

async function writeBack(
  path: string,
  renewed: StoredCredential,
  previous: string | null
): Promise<string | null> {
  const { uid, mode } = await stat(path)
  if (process.geteuid !== undefined && uid !== process.geteuid())
    return 'it belongs to another user'
  if ((mode & 0o200) === 0) return 'it is read-only'
  // SQLite writes its journal beside the database.
  for (const written of [path, dirname(path)]) {
    if (!(await isWritable(written))) return 'it is read-only'
  }
  return whileBusy(async () => {
    using database = await open(path, { isReadonly: false })
    return writeTokens(database, renewed, previous)
  })
}

async function readRows(path: string): Promise<Rows> {
  const facts = await stat(path)
  if (!facts.isFile()) throw new Error('is not a plain file.')
  try {
    return await whileBusy(() => query(path))
  } catch (cause) {
    if (!CANNOT_OPEN.includes(sqliteCode(cause))) throw cause
    // WAL mode on a read-only mount: the main file is still readable.
    const url = pathToFileURL(path)
    url.searchParams.set('immutable', '1')
    return query(url)
  }
}

async function query(path: string | URL): Promise<Rows> {
  using database = await open(path, { isReadonly: true })
  try {
    return toRows(database.prepare(QUERY).all())
  } catch (cause) {
    if (sqliteCode(cause) !== OTHER_SCHEMA) throw cause
    return toRows(database.prepare(QUERY_WITHOUT_STATE).all()) // older programs have no table "state"
  }
}

type Rows = ReadonlyMap<string, string>

/** Imported on demand: most gateways have no such database. */
async function open(
  path: string | URL,
  { isReadonly }: { readonly isReadonly: boolean }
): Promise<DatabaseSync> {
  const { DatabaseSync } = await import('node:sqlite')
  return new DatabaseSync(path, { readOnly: isReadonly, timeout: 0 })
}

function toRows(rows: readonly Record<string, unknown>[]): Rows {
  return new Map(rows.map(({ key, value }) => [String(key), toText(value)]))
}

function toText(value: unknown): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : String(value)
}

/** @throws {Error} whose message completes the sentence "the database …". */
function signInOf(rows: Rows, fallbackRegion: string) {
  const oddities: string[] = []
  for (const { key, method, registrations } of TOKEN_KEYS) {
    const token = jsonOf(rows, key)
    if (token === null) {
      if (rows.has(key)) oddities.push(`${key} is not a JSON object`)
      continue
    }
    const withProfile = { ...token, ...profileOf(rows, token) }
    const file = { ...withProfile, authMethod: methodOf(method, withProfile) }
    const registration = registrationOf(rows, registrations)
    try {
      const parsed = parseSignIn(file, registration, fallbackRegion)
      return { stored: parsed.stored, oddities: [...oddities, ...parsed.oddities] }
    } catch (cause) {
      oddities.push(`${key} ${cause instanceof Error ? cause.message : 'is damaged'}`)
    }
  }
  throw new Error(
    oddities.length === 0 ? 'holds no sign-in.' : `holds no usable sign-in: ${oddities.join('; ')}.`
  )
}

/** kiro-cli omits the start URL for Builder ID and for some organisations. Builder ID exists in one region only. */
function methodOf(method: string, token: JsonObject): string {
  if (method !== 'IdC' || textMember(token, 'start_url') !== null) return method
  const arn = textMember(token, 'profile_arn') ?? textMember(token, 'profileArn') ?? ''
  const isElsewhere = isProfileArn(arn) && arn.split(':')[3] !== BUILDER_ID_REGION
  return isElsewhere ? method : 'builder-id'
}

const BUILDER_ID_REGION = 'us-east-1'

function profileOf(rows: Rows, token: JsonObject): JsonObject {
  const arn = textMember(jsonOf(rows, PROFILE_KEY) ?? {}, 'arn')
  return arn === null || textMember(token, 'profile_arn') !== null ? {} : { profileArn: arn }
}

function registrationOf(
  rows: Rows,
  keys: readonly string[]
): OidcClient | { problem: string } | null {
  for (const key of keys) {
    const client = inlineClient(jsonOf(rows, key) ?? {})
    if (client !== null) return client
  }
  return keys.length === 0 ? null : { problem: 'the database holds no client registration' }
}

function jsonOf(rows: Rows, key: string): JsonObject | null {
  const text = rows.get(key)
  if (text === undefined) return null
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'string' ? parseJsonObject(value) : asJsonObject(value)
  } catch {
    return null
  }
}

/** Returns why the tokens were not written, or `null`. The transaction locks the database from its first read. */
function writeTokens(
  database: DatabaseSync,
  renewed: StoredCredential,
  previous: string | null
): string | null {
  database.exec('PRAGMA synchronous = FULL')
  database.exec('BEGIN IMMEDIATE')
  try {
    const rows = toRows(database.prepare(QUERY_WITHOUT_STATE).all())
    const found = TOKEN_KEYS.find(({ key }) => {
      const token = jsonOf(rows, key)
      return token !== null && textMember(token, 'refresh_token') === previous
    })
    if (found === undefined) {
      database.exec('ROLLBACK')
      return 'another program changed it'
    }
    const value = JSON.stringify({ ...jsonOf(rows, found.key), ...tokensOf(renewed) })
    database.prepare('UPDATE auth_kv SET value = ? WHERE key = ?').run(value, found.key)
    database.exec('COMMIT')
    return null
  } catch (cause) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw cause
  }
}

function tokensOf({
  accessToken,
  refreshToken,
  expiresAt,
  profileArn,
  authType
}: StoredCredential) {
  return {
    access_token: accessToken,
    refresh_token: refreshToken,
    ...(expiresAt !== null && { expires_at: new Date(expiresAt).toISOString() }),
    ...(authType === 'social' && profileArn !== null && { profile_arn: profileArn })
  }
}

/** SQLITE_BUSY, SQLITE_LOCKED */
const BUSY: readonly number[] = [5, 6]
/** SQLITE_ERROR: unknown table or column. */
const OTHER_SCHEMA = 1
const CORRUPT: readonly number[] = [11, 26]
/** SQLITE_READONLY, SQLITE_CANTOPEN */
const CANNOT_OPEN: readonly number[] = [8, 14]

async function whileBusy<T>(use: () => Promise<T>): Promise<T> {
  const giveUpAt = performance.now() + BUSY_MS
  for (;;) {
    try {
      return await use()
    } catch (cause) {
      if (!BUSY.includes(sqliteCode(cause)) || performance.now() > giveUpAt) throw cause
      await sleep(BUSY_POLL_MS)
    }
  }
}

function sqliteCode(cause: unknown): number {
  if (codeOf(cause) !== 'ERR_SQLITE_ERROR') return 0
  const code: unknown = Reflect.get(Object(cause), 'errcode')
  return typeof code === 'number' ? code & 0xff : 0
}

function describeProblem(cause: unknown): string {
  const code = codeOf(cause)
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'does not exist.'
  if (code === 'EACCES' || code === 'EPERM') {
    return `is not readable by this user (uid ${process.geteuid?.() ?? 'unknown'}).`
  }
  const sqlite = sqliteCode(cause)
  if (BUSY.includes(sqlite)) return 'is locked by another program.'
  if (CORRUPT.includes(sqlite)) return 'is damaged, or not an SQLite database.'
  if (CANNOT_OPEN.includes(sqlite))
    return 'cannot be opened: the user that runs the gateway has no read permission.'
  if (sqlite === OTHER_SCHEMA)
    return 'has an unknown schema: the table "auth_kv" with "key" and "value" is missing.'
  if (sqlite !== 0) return `cannot be read (SQLite error ${sqlite}).`
  return cause instanceof Error ? cause.message : 'cannot be read.'
}

function quoted(keys: readonly string[]): string {
  return keys.map((key) => `'${key}'`).join(', ')
}
