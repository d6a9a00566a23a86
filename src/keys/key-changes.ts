import { createHash } from 'node:crypto'
import { MAX_KEYS } from './key-file.ts'
import { isMeant } from './key-text.ts'
import type { NamedKey } from './key.ts'

export const NO_LIMITS = {
  credits: null,
  requestsPerMinute: null,
  maxStreams: null,
  models: null,
  mayOverage: false,
  expiresAt: null
} as const satisfies Partial<NamedKey>

export type NamedKeyLimits = Pick<NamedKey, keyof typeof NO_LIMITS>

/** A revoked key stays in the file, for clients that still send it, but frees its name. */
export function findInForce(keys: readonly NamedKey[], name: string): NamedKey | undefined {
  return keys.find((one) => one.revokedAt === null && isMeant(one, name))
}

/** Returns `null` if there is no room. The oldest revoked key makes some. */
export function withNewKey(keys: readonly NamedKey[], added: NamedKey): readonly NamedKey[] | null {
  const kept = keys.length < MAX_KEYS ? keys : withoutOldestRevoked(keys)
  return kept.length >= MAX_KEYS ? null : [...kept, added]
}

function withoutOldestRevoked(keys: readonly NamedKey[]): readonly NamedKey[] {
  const revoked = keys.filter(({ revokedAt }) => revokedAt !== null)
  const [oldest] = revoked.toSorted((a, b) => (a.revokedAt ?? 0) - (b.revokedAt ?? 0))
  return keys.filter((one) => one !== oldest)
}

const VERSION_CHARS = 16

/** Differs after every change of the key, by whomever. */
export function keyVersion(key: NamedKey): string {
  const { id, name, hashes, credits, requestsPerMinute, maxStreams, models, mayOverage } = key
  const facts = [
    [id, name, requestsPerMinute, maxStreams, models, mayOverage],
    hashes.map(({ sha256, until }) => [sha256, until]),
    credits === null ? null : [credits.limit, credits.period],
    [key.expiresAt, key.revokedAt, key.createdAt, key.reopened?.at, key.reopened?.used]
  ]
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, VERSION_CHARS)
}
