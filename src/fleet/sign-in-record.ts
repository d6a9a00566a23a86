import { createHmac } from 'node:crypto'
import { isCount, isJsonObject } from '../shared/json.ts'

export type SignInPhase =
  | 'idle'
  /** The holder may have presented the token: no other gateway may until the new tokens are there. */
  | 'presenting'
  /** Refused for good: only a new sign-in helps. */
  | 'refused'

export interface SignInFacts {
  /** Grows for ever with each renewal and new sign-in. */
  readonly gen: number
  /** Gateway that renews, or did last; '' before the first. */
  readonly holder: string
  readonly phase: SignInPhase
  readonly fence: number
  /** Identifies this generation's refresh token without revealing it. */
  readonly proof: string
  /** Proof of the sign-in that this generation descends from. */
  readonly lineage: string
  readonly spent: readonly string[]
}

/** Unverified: anyone with access to Valkey may have written it. */
export interface SignInRecord extends SignInFacts {
  readonly sealed: string
}

export type SignInReading =
  | { readonly type: 'none' }
  | { readonly type: 'damaged' }
  | { readonly type: 'newer' }
  | { readonly type: 'record'; readonly record: SignInRecord }

const PHASES: readonly unknown[] = ['idle', 'presenting', 'refused'] satisfies SignInPhase[]
const PROOF = /^[0-9a-f]{64}$/
const SPENT = /^[0-9a-f]{16}$/
const SPENT_CHARS = 16
/** Renewals of at least a day and a half; a sign-in's first token is remembered for ever. */
const MAX_SPENT = 64
const HOLDER = /^[\w.-]{0,63}$/
const MAX_SEALED_CHARS = 524_288
const MAX_RECORD_CHARS = MAX_SEALED_CHARS + 4_096

/** Never throws. */
export function readSignInRecord(text: string | null): SignInReading {
  if (text === null) return { type: 'none' }
  if (text.length > MAX_RECORD_CHARS) return { type: 'damaged' }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { type: 'damaged' }
  }
  if (!isJsonObject(value)) return { type: 'damaged' }
  const { v, sealed } = value
  if (typeof v === 'number' && v > 1) return { type: 'newer' }
  const facts = readSignInFacts(value)
  if (v !== 1 || facts === null || typeof sealed !== 'string') return { type: 'damaged' }
  if (sealed.length > MAX_SEALED_CHARS) return { type: 'damaged' }
  return { type: 'record', record: { ...facts, sealed } }
}

export function writeSignInRecord(record: SignInRecord): string {
  return JSON.stringify({ v: 1, ...record })
}

/** Additional data of the seal: without the secret nobody can reuse, move or alter tokens. */
export function aadOf(facts: SignInFacts, fleet: string, source: string): string {
  const { gen, holder, phase, fence, proof, lineage, spent } = facts
  return ['v1', fleet, source, gen, holder, phase, fence, proof, lineage, ...spent].join('|')
}

export function readSignInFacts(value: Readonly<Record<string, unknown>>): SignInFacts | null {
  const { gen, holder, phase, fence, proof, lineage, spent } = value
  if (!isCounter(gen) || gen === 0 || !isCounter(fence) || !isPhase(phase)) return null
  if (typeof holder !== 'string' || !HOLDER.test(holder)) return null
  if (!isProof(proof) || !isProof(lineage)) return null
  if (!Array.isArray(spent) || spent.length > MAX_SPENT || !spent.every(isSpent)) return null
  return { gen, holder, phase, fence, proof, lineage, spent }
}

/** Identifies a refresh token, independent of the secret, which gateways may replace at different times. */
export function proofOf(refreshToken: string, fleet: string): string {
  return createHmac('sha256', `kiro-gateway sign-in ${fleet}`).update(refreshToken).digest('hex')
}

/** A token of this or an earlier generation is no new sign-in. */
export function isKnownTo({ proof, lineage, spent }: SignInFacts, other: string): boolean {
  return other === proof || other === lineage || spent.includes(other.slice(0, SPENT_CHARS))
}

export function renewedFacts(facts: SignInFacts, proof: string): SignInFacts {
  const spent = proof === facts.proof ? facts.spent : withSpent(facts.spent, facts.proof)
  return { ...facts, gen: facts.gen + 1, phase: 'idle', proof, spent }
}

/** Next generation after a new sign-in; earlier tokens count as spent, so that they never return as new. */
export function newSignInFacts(facts: SignInFacts | null, proof: string): SignInFacts {
  if (facts === null) {
    return { gen: 1, holder: '', phase: 'idle', fence: 0, proof, lineage: proof, spent: [] }
  }
  const spent = withSpent(withSpent(facts.spent, facts.lineage), facts.proof)
  const { gen, fence, holder } = facts
  return { gen: gen + 1, holder, phase: 'idle', fence: fence + 1, proof, lineage: proof, spent }
}

function withSpent(spent: readonly string[], proof: string): readonly string[] {
  const short = proof.slice(0, SPENT_CHARS)
  return [...spent.filter((one) => one !== short), short].slice(-MAX_SPENT)
}

function isCounter(value: unknown): value is number {
  return isCount(value) && value <= 2 ** 48
}

function isPhase(value: unknown): value is SignInPhase {
  return PHASES.includes(value)
}

function isProof(value: unknown): value is string {
  return typeof value === 'string' && PROOF.test(value)
}

function isSpent(value: unknown): value is string {
  return typeof value === 'string' && SPENT.test(value)
}
