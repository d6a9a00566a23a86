import { asJsonObject, isCount } from '../shared/json.ts'
import { formatKeysFile, MAX_HASHES, MAX_KEYS, parseKeysFile } from './key-file.ts'
import { isSameName, MAX_KEY_NAME_CHARS } from './key-text.ts'
import type { KeyHash, NamedKey } from './key.ts'

/** Counts edits: the version of a key with more of them is newer. */
export interface SharedKey {
  readonly key: NamedKey
  readonly edits: number
  /** Epoch ms; decides between equal numbers of edits. */
  readonly editedAt: number
}

/**
 * Named keys that several gateways share. Each has a file, which people may change while gateways cannot reach each
 * other; merging versions in any order and any number of times gives the same result:
 *
 * - the newest version of a key wins as a whole;
 * - but a key revoked in any version is revoked, and an end (`until`) in any version holds;
 * - what `rotate` made in any version is valid;
 * - a revoked key that made room for another never comes back.
 */
export interface SharedKeys {
  readonly keys: ReadonlyMap<string, SharedKey>
  /** Revoked keys that are in no file any more. Bounded by MAX_GONE. */
  readonly gone: ReadonlySet<string>
}

export const NO_SHARED_KEYS: SharedKeys = { keys: new Map(), gone: new Set() }

/** Made in years only, as a file has a thousand keys. */
const MAX_GONE = 10_000

/** A key that is missing in the file was revoked; if it already was, it has made room for another. */
export function withFile(shared: SharedKeys, file: readonly NamedKey[], now: number): SharedKeys {
  const keys = new Map<string, SharedKey>()
  const gone = new Set(shared.gone)
  const there = new Map(file.map((key) => [key.id, key]))
  for (const [id, before] of shared.keys) {
    const { key, edits } = before
    const found = there.get(id)
    if (found === undefined && key.revokedAt !== null) gone.add(id)
    else {
      const next = found === undefined ? { ...key, revokedAt: now } : withEnds(key, found, now)
      const isSame = textOf(next) === textOf(key)
      keys.set(id, isSame ? before : { key: next, edits: edits + 1, editedAt: now })
    }
  }
  for (const [id, key] of there) {
    if (shared.keys.has(id) || gone.has(id)) continue
    keys.set(id, { key, edits: 1, editedAt: key.createdAt })
  }
  return merge(shared, { keys, gone })
}

export function merge(one: SharedKeys, other: SharedKeys): SharedKeys {
  const gone = capped([...one.gone, ...other.gone])
  const keys = new Map<string, SharedKey>()
  for (const [id, key] of [...one.keys, ...other.keys]) {
    const known = keys.get(id)
    if (!gone.has(id)) keys.set(id, known === undefined ? key : mergeKey(known, key))
  }
  return { keys, gone }
}

/** Makes names unique and keys few enough for a file. Deterministic. `null` if none can be left out. */
export function tidy(shared: SharedKeys): SharedKeys | null {
  const all = [...shared.keys.values()].toSorted(
    ({ key: a }, { key: b }) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)
  )
  const revoked = all
    .filter(({ key }) => key.revokedAt !== null)
    .toSorted(({ key: a }, { key: b }) => (a.revokedAt ?? 0) - (b.revokedAt ?? 0))
  const surplus = Math.max(0, all.length - MAX_KEYS)
  if (surplus > revoked.length) return null
  const dropped = new Set(revoked.slice(0, surplus).map(({ key }) => key.id))
  const keys = new Map<string, SharedKey>()
  const names: string[] = []
  for (const one of all) {
    const { key } = one
    if (dropped.has(key.id)) continue
    const name = key.revokedAt === null ? freeName(key.name, names) : key.name
    if (key.revokedAt === null) names.push(name)
    const isSame = name === key.name
    keys.set(key.id, isSame ? one : { ...one, key: { ...key, name }, edits: one.edits + 1 })
  }
  return { keys, gone: capped([...shared.gone, ...dropped]) }
}

function capped(ids: readonly string[]): ReadonlySet<string> {
  return new Set([...new Set(ids)].toSorted().slice(-MAX_GONE))
}

export function isSameShared(one: SharedKeys, other: SharedKeys): boolean {
  if (one.keys.size !== other.keys.size || one.gone.size !== other.gone.size) return false
  for (const id of one.gone) if (!other.gone.has(id)) return false
  for (const [id, { key, edits, editedAt }] of one.keys) {
    const found = other.keys.get(id)
    if (found?.edits !== edits || found.editedAt !== editedAt) return false
    if (textOf(found.key) !== textOf(key)) return false
  }
  return true
}

export function isInFile(shared: SharedKeys, file: readonly NamedKey[]): boolean {
  if (file.length !== shared.keys.size) return false
  return file.every((key) => {
    const found = shared.keys.get(key.id)
    return found !== undefined && textOf(found.key) === textOf(key)
  })
}

/** A file's keys that are not gone, none of which is valid for longer than another version says. */
export function withEndsOf(
  { keys, gone }: SharedKeys,
  file: readonly NamedKey[]
): readonly NamedKey[] {
  const left = file.filter(({ id }) => !gone.has(id))
  return left.map((key) => {
    const other = keys.get(key.id)
    if (other === undefined) return key
    const revokedAt = earliest(key.revokedAt, other.key.revokedAt)
    const ends = new Map(other.key.hashes.map(({ sha256, until }) => [sha256, until]))
    const missingUntil = hasDropped(other.key, key) ? other.editedAt : null
    const hashes = key.hashes.map(({ sha256, until }) => ({
      sha256,
      until: earliest(until, ends.get(sha256) ?? (ends.has(sha256) ? null : missingUntil))
    }))
    return { ...key, revokedAt, hashes }
  })
}

/** True if `other` was rotated so often since `key` that its full list may lack hashes of `key`. */
function hasDropped(other: NamedKey, key: NamedKey): boolean {
  if (other.hashes.length < MAX_HASHES) return false
  const known = new Set(key.hashes.map(({ sha256 }) => sha256))
  return !other.hashes.some(({ sha256, until }) => until === null && known.has(sha256))
}

export function keysOf({ keys }: SharedKeys): readonly NamedKey[] {
  return [...keys.values()].map(({ key }) => key)
}

export function formatShared({ keys, gone }: SharedKeys): string {
  const raw = {
    version: 1,
    keys: [...keys.values()].map(({ key: { id }, edits, editedAt }) => ({ id, edits, editedAt })),
    gone: [...gone]
  }
  const text = formatKeysFile({ keys: [], raw }, keysOf({ keys, gone }))
  return JSON.stringify(JSON.parse(text))
}

/** `null` for anything else. */
export function parseShared(text: string): SharedKeys | null {
  try {
    const { keys, raw } = parseKeysFile(text, "the fleet's record of keys")
    const { keys: entries, gone } = raw
    if (!Array.isArray(entries) || !Array.isArray(gone) || gone.length > MAX_GONE) return null
    const shared = new Map<string, SharedKey>()
    for (const [at, key] of keys.entries()) {
      const { edits, editedAt } = asJsonObject(entries[at]) ?? {}
      if (!isCount(edits) || !isCount(editedAt)) return null
      shared.set(key.id, { key, edits, editedAt })
    }
    const ids = gone.filter((id): id is string => typeof id === 'string' && id.length <= 64)
    return { keys: shared, gone: new Set(ids) }
  } catch {
    return null
  }
}

function withEnds(before: NamedKey, found: NamedKey, now: number): NamedKey {
  const known = new Set(found.hashes.map(({ sha256 }) => sha256))
  const missing = before.hashes
    .filter(({ sha256 }) => !known.has(sha256))
    .map(({ sha256, until }) => ({ sha256, until: earliest(until, now) }))
  const hashes = sorted([...found.hashes, ...missing]).slice(0, MAX_HASHES)
  return { ...found, hashes }
}

function mergeKey(one: SharedKey, other: SharedKey): SharedKey {
  const [newer, older] = isNewer(one, other) ? [one, other] : [other, one]
  const revokedAt = earliest(one.key.revokedAt, other.key.revokedAt)
  const hashes = mergeHashes(newer.key.hashes, older.key.hashes)
  return { ...newer, key: { ...newer.key, revokedAt, hashes } }
}

function isNewer(one: SharedKey, other: SharedKey): boolean {
  if (one.edits !== other.edits) return one.edits > other.edits
  if (one.editedAt !== other.editedAt) return one.editedAt > other.editedAt
  return bodyOf(one.key) > bodyOf(other.key)
}

/** If the newer list is full, hashes missing there may have been dropped. */
function mergeHashes(newer: readonly KeyHash[], older: readonly KeyHash[]): readonly KeyHash[] {
  const merged = new Map(newer.map((hash) => [hash.sha256, hash]))
  for (const { sha256, until } of older) {
    const known = merged.get(sha256)
    if (known !== undefined) merged.set(sha256, { sha256, until: earliest(known.until, until) })
    else if (newer.length < MAX_HASHES) merged.set(sha256, { sha256, until })
  }
  return sorted([...merged.values()]).slice(0, MAX_HASHES)
}

/** The current first, then the longest valid. */
function sorted(hashes: readonly KeyHash[]): readonly KeyHash[] {
  return hashes.toSorted(
    (a, b) => (b.until ?? Infinity) - (a.until ?? Infinity) || (a.sha256 < b.sha256 ? -1 : 1)
  )
}

function earliest(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other
  return Math.min(one, other)
}

/** The older key keeps a contested name. */
function freeName(name: string, taken: readonly string[]): string {
  let free = name
  for (let count = 2; taken.some((one) => isSameName(one, free)); count += 1) {
    const start = name.slice(0, MAX_KEY_NAME_CHARS - 5).replace(/[\uD800-\uDBFF]$/, '') // half a character
    free = `${start}-${count}`
  }
  return free
}

function bodyOf(key: NamedKey): string {
  const { id, name, credits, requestsPerMinute, maxStreams, models, mayOverage } = key
  const { expiresAt, createdAt } = key
  const limit = credits === null ? null : [credits.limit, credits.period]
  return JSON.stringify([
    id,
    name,
    limit,
    requestsPerMinute,
    maxStreams,
    models,
    expiresAt,
    createdAt,
    ...(mayOverage ? [mayOverage] : []) // a gateway of an earlier version does not know it
  ])
}

function textOf(key: NamedKey): string {
  const hashes = sorted(key.hashes).map(({ sha256, until }) => [sha256, until])
  return JSON.stringify([bodyOf(key), key.revokedAt, hashes])
}
