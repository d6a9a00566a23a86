import { createHash } from 'node:crypto'
import type { NamedKey } from '../../src/keys/key.ts'

/** A named key without limits. */
export function namedKey(members: Partial<NamedKey> = {}): NamedKey {
  return {
    id: 'k_1',
    name: 'anna',
    hashes: [{ sha256: 'f'.repeat(64), until: null }],
    credits: null,
    requestsPerMinute: null,
    maxStreams: null,
    models: null,
    mayOverage: false,
    expiresAt: null,
    revokedAt: null,
    createdAt: Date.parse('2026-09-01T00:00:00Z'),
    reopened: null,
    ...members
  }
}

/** The hash by which a key of that text is known. */
export function hashOfKey(text: string, until: number | null = null) {
  return { sha256: createHash('sha256').update(text).digest('hex'), until }
}
