import { GatewayError, operatorError } from '../shared/errors.ts'
import { asJsonObject, type JsonObject, parseJsonObject, textMember } from '../shared/json.ts'
import { type KeyHash, MAX_CREDITS, MICROS_PER_CREDIT, type NamedKey } from './key.ts'
import {
  checkCredits,
  checkModels,
  isSameName,
  toKeyName,
  toMaxStreams,
  toRequestsPerMinute
} from './key-text.ts'
import { toIso } from '../shared/dates.ts'

/**
 * Content of `keys.json`. Unknown members are kept when the file is written again.
 *
 * ```json
 * {
 *   "version": 1,
 *   "keys": [
 *     {
 *       "id": "k_…", "name": "anna", "createdAt": "2026-09-01T00:00:00.000Z",
 *       "hashes": [{ "sha256": "…" }, { "sha256": "…", "until": "2026-09-02T00:00:00.000Z" }],
 *       "credits": { "limit": 200, "period": "month" },   // this and what follows may be missing: no limit
 *       "requestsPerMinute": 30, "maxStreams": 4, "models": ["claude-sonnet-*"], "overage": true,
 *       "expiresAt": "…", "revokedAt": "…",
 *       "reopened": { "at": "…", "used": 12.5 }           // credits, set by an operator after the account book was damaged
 *     }
 *   ]
 * }
 * ```
 */
export interface KeysFile {
  readonly keys: readonly NamedKey[]
  readonly raw: JsonObject
}

const VERSION = 1
/** The file is read whole at each change and sent to all workers. */
export const MAX_KEYS = 1000
/** The current hash and former ones, by which an old key is told from a wrong one for a while. */
export const MAX_HASHES = 8

export const NO_KEYS: KeysFile = { keys: [], raw: { version: VERSION } }

/** @throws {GatewayError} GW_CONFIG_INVALID that names `path` and the fault */
export function parseKeysFile(text: string, path: string): KeysFile {
  const raw = parseJsonObject(text.replace(/^\uFEFF/, ''))
  const list = raw?.['keys']
  const version = raw?.['version']
  if (raw === null) throw fileInvalid(path, 'is not a complete JSON object.')
  if (typeof version === 'number' && version > VERSION) {
    throw fileInvalid(path, `is of a newer version of this program (${version}): update it.`)
  }
  if (version !== VERSION || !Array.isArray(list)) {
    throw fileInvalid(path, 'was not written by "kiro-gateway key add".')
  }
  if (list.length > MAX_KEYS) throw fileInvalid(path, `has more than ${MAX_KEYS} keys.`)
  const keys = list.map((entry: unknown, index) => {
    try {
      return parseKey(asJsonObject(entry) ?? {})
    } catch (cause) {
      const name = textMember(asJsonObject(entry) ?? {}, 'name')?.slice(0, 64)
      const which = name === undefined ? `number ${index + 1}` : JSON.stringify(name)
      const problem = cause instanceof GatewayError ? cause.message : String(cause)
      throw fileInvalid(path, `has a damaged key, ${which}: ${problem}`)
    }
  })
  const double = findDouble(keys)
  if (double !== null) throw fileInvalid(path, `has two keys with ${double}.`)
  return { keys, raw }
}

export function formatKeysFile(before: KeysFile, keys: readonly NamedKey[]): string {
  const entries = objectsOf(before.raw['keys'])
  const written = keys.map((key) => writeKey(key, entries.find(({ id }) => id === key.id) ?? {}))
  return `${JSON.stringify({ ...before.raw, version: VERSION, keys: written }, null, 2)}\n`
}

/** Makes `sha256` the current hash; the former one is valid until `until`. */
export function rotateHashes(
  hashes: readonly KeyHash[],
  { sha256, until }: { readonly sha256: string; readonly until: number }
): readonly KeyHash[] {
  const before = hashes.map((one) => ({ ...one, until: Math.min(one.until ?? until, until) }))
  return [{ sha256, until: null }, ...before].slice(0, MAX_HASHES)
}

function parseKey(entry: JsonObject): NamedKey {
  const id = textMember(entry, 'id')
  if (id === null || !/^[\w-]{1,64}$/.test(id)) throw invalidMember('id')
  const name = textMember(entry, 'name')
  if (name === null) throw invalidMember('name')
  const { credits, requestsPerMinute, maxStreams, models } = entry
  if (!isMissing(models) && !Array.isArray(models)) throw invalidMember('models')
  const limit = asJsonObject(credits)
  if (!isMissing(credits) && limit === null) throw invalidMember('credits')
  return {
    id,
    name: toKeyName(name),
    hashes: parseHashes(entry['hashes']),
    credits:
      limit === null
        ? null
        : checkCredits({ limit: limit['limit'], period: limit['period'] }, JSON.stringify(limit)),
    requestsPerMinute: isMissing(requestsPerMinute) ? null : toRequestsPerMinute(requestsPerMinute),
    maxStreams: isMissing(maxStreams) ? null : toMaxStreams(maxStreams),
    models: Array.isArray(models) ? checkModels(models) : null,
    mayOverage: flagOf(entry, 'overage'),
    expiresAt: timeOf(entry, 'expiresAt'),
    revokedAt: timeOf(entry, 'revokedAt'),
    createdAt: timeOf(entry, 'createdAt') ?? 0,
    reopened: parseReopened(entry['reopened'])
  }
}

function parseReopened(value: unknown): NamedKey['reopened'] {
  if (isMissing(value)) return null
  const object = asJsonObject(value) ?? {}
  const at = timeOf(object, 'at')
  const { used } = object
  if (at === null || typeof used !== 'number' || !(used >= 0 && used <= MAX_CREDITS)) {
    throw invalidMember('reopened')
  }
  return { at, used: Math.round(used * MICROS_PER_CREDIT) }
}

function parseHashes(value: unknown): readonly KeyHash[] {
  const isList = Array.isArray(value) && value.length >= 1 && value.length <= MAX_HASHES
  if (!isList) throw invalidMember('hashes')
  return value.map((entry: unknown) => {
    const object = asJsonObject(entry) ?? {}
    const sha256 = textMember(object, 'sha256')
    if (sha256 === null || !/^[0-9a-f]{64}$/.test(sha256)) throw invalidMember('hashes')
    return { sha256, until: timeOf(object, 'until') }
  })
}

function flagOf(object: JsonObject, name: string): boolean {
  const value = object[name]
  if (isMissing(value)) return false
  if (typeof value !== 'boolean') throw invalidMember(name)
  return value
}

/** An unreadable time must not count as none: the key would never end. */
function timeOf(object: JsonObject, name: string): number | null {
  const value = object[name]
  if (isMissing(value)) return null
  const at = typeof value === 'string' ? Date.parse(value) : Number.NaN
  if (Number.isNaN(at)) throw invalidMember(name)
  return at
}

function isMissing(value: unknown): value is null | undefined {
  return value === undefined || value === null
}

function findDouble(keys: readonly NamedKey[]): string | null {
  const ids = new Set(keys.map(({ id }) => id))
  const hashes = keys.flatMap((key) => key.hashes.map(({ sha256 }) => sha256))
  const names = keys.filter(({ revokedAt }) => revokedAt === null).map(({ name }) => name)
  if (ids.size < keys.length) return 'the same id'
  if (new Set(hashes).size < hashes.length) return 'the same hash'
  const double = names.find((name, at) => names.slice(0, at).some((one) => isSameName(one, name)))
  return double === undefined ? null : `the name ${JSON.stringify(double)}`
}

const KNOWN: ReadonlySet<string> = new Set<Exclude<keyof NamedKey, 'mayOverage'> | 'overage'>([
  'id',
  'name',
  'hashes',
  'credits',
  'requestsPerMinute',
  'maxStreams',
  'models',
  'overage',
  'expiresAt',
  'revokedAt',
  'createdAt',
  'reopened'
])

function writeKey(key: NamedKey, before: JsonObject): JsonObject {
  const { id, name, credits, requestsPerMinute, maxStreams, models } = key
  const oldHashes = objectsOf(before['hashes'])
  const oldCredits = asJsonObject(before['credits'])
  return {
    id,
    name,
    createdAt: toIso(key.createdAt),
    hashes: key.hashes.map(({ sha256, until }) => ({
      ...withoutMembers(oldHashes.find((one) => one['sha256'] === sha256) ?? {}, HASH_MEMBERS),
      sha256,
      ...(until !== null && { until: toIso(until) })
    })),
    ...(credits !== null && { credits: { ...oldCredits, ...credits } }),
    ...(requestsPerMinute !== null && { requestsPerMinute }),
    ...(maxStreams !== null && { maxStreams }),
    ...(models !== null && { models }),
    ...(key.mayOverage && { overage: true }),
    ...(key.expiresAt !== null && { expiresAt: toIso(key.expiresAt) }),
    ...(key.revokedAt !== null && { revokedAt: toIso(key.revokedAt) }),
    ...(key.reopened !== null && {
      reopened: { at: toIso(key.reopened.at), used: key.reopened.used / MICROS_PER_CREDIT }
    }),
    ...withoutMembers(before, KNOWN)
  }
}

const HASH_MEMBERS: ReadonlySet<string> = new Set<keyof KeyHash>(['sha256', 'until'])

function withoutMembers(object: JsonObject, names: ReadonlySet<string>): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.has(name)))
}

function objectsOf(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.map((entry) => asJsonObject(entry) ?? {}) : []
}

function invalidMember(name: string): GatewayError {
  return operatorError(`"${name}" is not valid.`)
}

function fileInvalid(path: string, problem: string): GatewayError {
  return operatorError(`${path} ${problem}`)
}
